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
  /** Where in its slot each request is due, 0 to below 1: a fixed rate could beat in time with a swap. */
  jitter?: ((slot: number) => number) | undefined;
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
    const { startMs, rate, jitter } = this.options;
    return startMs + ((slot + (jitter ? jitter(slot) : 0)) * 1000) / rate;
  }

  #slotsDueBy(now: number): number {
    const { startMs, rate } = this.options;
    if (now < startMs) return 0;
    const begun = Math.floor(((now - startMs) * rate) / 1000);
    return this.#dueAt(begun) <= now ? begun + 1 : begun;
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
export function scheduleOf({ rate, durationMs, requests, timeoutMs, jitterSeed: seed }: LoadPlan): Schedule {
  const most = requests ?? Number.POSITIVE_INFINITY;
  if (rate === undefined) return new EagerSchedule(durationMs ?? Number.POSITIVE_INFINITY, most);
  const inTime = durationMs === undefined ? most : Math.max(1, Math.floor((durationMs * rate) / 1000));
  const jitter = seed === undefined ? undefined : (slot: number) => fraction(seed, slot);
  return new PacedSchedule({ startMs: 0, rate, slots: Math.min(most, inTime), maxWaitMs: timeoutMs, jitter });
}

/** From 0 to below 1, at random and the same again for the same two numbers (the finalizer of MurmurHash3). */
export function fraction(seed: number, n: number): number {
  let x = (seed ^ Math.imul(n + 1, 0x9e3779b9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}
