/**
 * When requests are due. Pure: the time comes in as an argument (milliseconds of one steady clock), so tests turn it.
 *
 * Paced is the open loop: slot i is due at start + i / rate, whatever the server does. A slot that finds no free
 * connection waits and is sent late, and its latency counts from when it was due (wrk2's rule: a server that stalls
 * must not slow its own judge down). One that has waited longer than a client would is *missed*: counted, never
 * absorbed. Eager is the closed loop: always due, so it measures speed and cannot measure waiting.
 */
import type { LoadPlan } from "./plan.ts";

export interface Schedule {
  /** When the next request was due, if it is due by now: the caller sends it. Slots given up on the way are counted. */
  take(now: number): number | undefined;
  /** When `take` will have something; undefined where only a free connection is waited for, or nothing is to come. */
  nextDue(): number | undefined;
  /** No slot falls due any more; what is due by now waits for a connection as it would have. */
  stop(now: number): void;
  readonly finished: boolean;
  /** Slots that fell due so far: taken or missed. */
  readonly fallen: number;
  /** Slots that fell due and were neither sent nor can be. */
  readonly missed: number;
}

export interface PacedOptions {
  startMs: number;
  /** Slots a second. */
  rate: number;
  /** Slots in all; Infinity: until stopped. */
  slots: number;
  /** How long a due slot may wait for a free connection. */
  maxWaitMs: number;
}

export class PacedSchedule implements Schedule {
  missed = 0;
  #next = 0;
  #slots: number;

  constructor(private readonly options: PacedOptions) {
    this.#slots = options.slots;
  }

  get finished(): boolean {
    return this.#next >= this.#slots;
  }

  get fallen(): number {
    return this.#next;
  }

  take(now: number): number | undefined {
    this.#giveUpBefore(now - this.options.maxWaitMs);
    if (this.finished) return undefined;
    const due = this.#dueAt(this.#next);
    if (due > now) return undefined;
    this.#next++;
    return due;
  }

  nextDue(): number | undefined {
    return this.finished ? undefined : this.#dueAt(this.#next);
  }

  stop(now: number): void {
    this.#slots = Math.max(this.#next, Math.min(this.#slots, this.#slotsDueBy(now)));
  }

  #giveUpBefore(limit: number): void {
    while (this.#next < this.#slots && this.#dueAt(this.#next) < limit) {
      this.#next++;
      this.missed++;
    }
  }

  // A product, not a sum: adding up intervals would drift.
  #dueAt(slot: number): number {
    return this.options.startMs + (slot * 1000) / this.options.rate;
  }

  #slotsDueBy(now: number): number {
    return now < this.options.startMs
      ? 0
      : Math.floor(((now - this.options.startMs) * this.options.rate) / 1000) + 1;
  }
}

export class EagerSchedule implements Schedule {
  readonly missed = 0;
  fallen = 0;
  #ended = false;

  /** `endMs`: nothing starts from then on. */
  constructor(
    private readonly endMs: number,
    private readonly requests: number,
  ) {}

  get finished(): boolean {
    return this.#ended || this.fallen >= this.requests;
  }

  take(now: number): number | undefined {
    if (now >= this.endMs) this.#ended = true;
    if (this.finished) return undefined;
    this.fallen++;
    return now;
  }

  nextDue(): undefined {
    return undefined;
  }

  stop(): void {
    this.#ended = true;
  }
}

/** Starts at zero. */
export function scheduleOf({ rate, durationMs, requests, timeoutMs }: LoadPlan): Schedule {
  const most = requests ?? Number.POSITIVE_INFINITY;
  if (rate === undefined) return new EagerSchedule(durationMs ?? Number.POSITIVE_INFINITY, most);
  const inTime = durationMs === undefined ? most : Math.max(1, Math.floor((durationMs * rate) / 1000));
  return new PacedSchedule({ startMs: 0, rate, slots: Math.min(most, inTime), maxWaitMs: timeoutMs });
}
