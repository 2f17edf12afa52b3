/** Records what is not in a snapshot: when each generation started and was ready, how the last swaps went, counts. */
import type { Gen, Of, ServiceEvent } from "./service-event.ts";
import { type FailureFacts, failureFacts } from "./words.ts";

/** Swaps that are remembered with their details. */
const KEPT_SWAPS = 10;

export interface GenerationNotes {
  /** ISO 8601. */
  startedAt?: string;
  readyMs?: number | undefined;
  proven?: boolean;
  /** When it is kept, or waits to be confirmed, no longer. */
  until?: string | undefined;
  /** What stands in the way of its readiness, once that takes long. */
  waitingFor?: string | undefined;
}

export interface SwapRecord {
  generation: number;
  /** Which one served before. Absent after a crash. */
  from?: number | undefined;
  outcome: "swapped" | "unproven" | "rolled-back";
  endedAt: string;
  /** From the new generation's start until the old one was asked to stop, or until the failure. */
  durationMs: number;
  readyMs?: number | undefined;
  failure?: FailureFacts | undefined;
}

export interface Counts {
  swapped: number;
  rolledBack: number;
  crashed: number;
  /** Clients of dead generations that were passed on. */
  rescued: number;
  /** Connections that have outlived their generation, and those that were closed with it. */
  kept: number;
  closed: number;
}

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();

export class History {
  readonly startedAt = new Date().toISOString();
  readonly swaps: SwapRecord[] = [];
  readonly counts: Counts = { swapped: 0, rolledBack: 0, crashed: 0, rescued: 0, kept: 0, closed: 0 };
  /** When the last hold ends by itself, or would have. */
  heldUntil: string | undefined;
  readonly #notes = new Map<Gen, GenerationNotes>();

  notesOf(gen: Gen): GenerationNotes {
    return this.#notes.get(gen) ?? {};
  }

  readonly consume = (event: ServiceEvent): void => {
    switch (event.event) {
      case "generation.started":
        this.#note(event.generation, { startedAt: new Date().toISOString() });
        break;
      case "generation.ready":
        this.#note(event.generation, {
          readyMs: event.readyMs,
          proven: event.doubt === undefined,
          waitingFor: undefined,
        });
        break;
      case "generation.proven":
        this.#note(event.generation, { readyMs: event.readyMs, proven: true });
        break;
      case "generation.waiting":
        this.#note(event.generation, { waitingFor: event.obstacle });
        break;
      case "generation.rescued":
        this.counts.rescued += event.connections;
        break;
      case "generation.kept":
        this.counts.kept += event.kept;
        this.counts.closed += event.closed;
        break;
      case "hold.began":
        this.heldUntil = inMs(event.forMs);
        break;
      case "swap.unconfirmed":
        this.#noteUntil([event.generation, event.kept], event.forMs);
        break;
      case "swap.done":
        this.#noteUntil([event.generation], undefined);
        this.#noteUntil([event.retired], event.keptMs);
        this.counts.swapped++;
        this.#keep(event, { from: event.retired, outcome: event.doubt ? "unproven" : "swapped" });
        break;
      case "swap.rolled-back": {
        this.counts.rolledBack++;
        this.#noteUntil([event.generation, event.serving], undefined);
        const failure = failureFacts(event.failure);
        this.#keep(event, { from: event.serving, outcome: "rolled-back", failure });
        break;
      }
      case "generation.crashed":
        this.counts.crashed++;
        break;
      case "generation.gone":
        this.#notes.delete(event.generation);
    }
  };

  #noteUntil(gens: readonly Gen[], ms: number | undefined): void {
    const until = ms === undefined ? undefined : inMs(ms);
    for (const gen of gens) this.#note(gen, { until });
  }

  #note(gen: Gen, notes: GenerationNotes): void {
    this.#notes.set(gen, { ...this.notesOf(gen), ...notes });
  }

  #keep(
    { generation, ageMs, readyMs }: Of<"swap.done"> | Of<"swap.rolled-back">,
    rest: Pick<SwapRecord, "from" | "outcome" | "failure">,
  ): void {
    const endedAt = new Date().toISOString();
    this.swaps.push({ generation, ...rest, endedAt, durationMs: ageMs, readyMs });
    if (this.swaps.length > KEPT_SWAPS) this.swaps.shift();
  }
}
