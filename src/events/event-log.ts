/** Remembers what a snapshot cannot tell: when each generation started and was ready, how the last swaps went, counts. */

import type { Counts, SwapFailure, SwapRecord } from "../control/protocol.ts";
import type { Failure, Gen, Report } from "../swap/machine.ts";
import type { GenerationFacts, Listener } from "../swap/supervisor.ts";

/** Swaps that are remembered with their details. */
const KEPT_SWAPS = 10;

export interface GenerationNotes {
  startedAt?: string;
  readyMs?: number;
  proven?: boolean;
}

export class Chronicle implements Pick<Listener, "started" | "report" | "rescued"> {
  readonly startedAt = new Date().toISOString();
  readonly swaps: SwapRecord[] = [];
  readonly counts: Counts = { swapped: 0, rolledBack: 0, crashed: 0, rescued: 0 };
  readonly #notes = new Map<Gen, GenerationNotes>();

  notesOf(gen: Gen): GenerationNotes {
    return this.#notes.get(gen) ?? {};
  }

  started(gen: Gen): void {
    this.#notes.set(gen, { ...this.notesOf(gen), startedAt: new Date().toISOString() });
  }

  rescued(_: Gen, connections: number): void {
    this.counts.rescued += connections;
  }

  report(report: Report, look: GenerationFacts): void {
    switch (report.event) {
      case "ready": {
        const { age = 0, isProven = true } = look(report.gen) ?? {};
        const readyMs = Math.round(age);
        this.#notes.set(report.gen, { ...this.notesOf(report.gen), readyMs, proven: isProven });
        break;
      }
      case "swapped":
        this.counts.swapped++;
        this.#keep(report.gen, look, { from: report.from, outcome: "swapped" });
        break;
      case "rolled-back":
        this.counts.rolledBack++;
        this.#keep(report.gen, look, {
          from: report.to,
          outcome: "rolled-back",
          failure: failureOf(report.failure),
        });
        break;
      case "crashed":
        this.counts.crashed++;
        break;
      case "gone":
        this.#notes.delete(report.gen);
    }
  }

  #keep(gen: Gen, look: GenerationFacts, rest: Pick<SwapRecord, "from" | "outcome" | "failure">): void {
    const durationMs = ageOf(gen, look);
    const { readyMs } = this.notesOf(gen);
    this.swaps.push({ generation: gen, ...rest, endedAt: new Date().toISOString(), durationMs, readyMs });
    if (this.swaps.length > KEPT_SWAPS) this.swaps.shift();
  }
}

/** In milliseconds; whoever is reported runs, or did until now. */
export const ageOf = (gen: Gen, look: GenerationFacts): number => Math.round(look(gen)?.age ?? 0);

/** `stderr` is the same array as the generation's: its last lines may still be on their way. */
export const failureOf = ({ reason, exit, stderr }: Failure): SwapFailure => ({
  reason,
  exitCode: exit?.code,
  exitSignal: exit?.signal,
  stderr,
});
