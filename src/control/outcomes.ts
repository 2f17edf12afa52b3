/**
 * Whoever asked for a swap waits here for its outcome. Generation numbers are handed out in order, and every swap that is
 * asked for leads to a generation with a number above the highest one of that moment; so the outcome of such a
 * generation, and of none before it, answers the request. Two who ask during one swap share the one that follows.
 */

import { ageOf, failureOf } from "../events/event-log.ts";
import type { Gen, Report } from "../swap/machine.ts";
import type { GenerationFacts, Listener } from "../swap/supervisor.ts";
import type { ReloadAnswer, SwapFailure } from "./protocol.ts";

export type Outcome = Omit<ReloadAnswer, "schema" | "name">;

interface Waiter {
  /** The lowest number that answers it. */
  from: Gen;
  answer(outcome: Outcome): void;
}

export class Outcomes implements Pick<Listener, "report"> {
  readonly #waiting = new Set<Waiter>();
  readonly #readyMs = new Map<Gen, number>();
  #lastFailure: SwapFailure | undefined;

  /** `from`: the highest number given so far plus one. To be called before the swap is asked for. */
  wait(from: Gen, answer: (outcome: Outcome) => void): Disposable {
    const waiter = { from, answer };
    this.#waiting.add(waiter);
    return { [Symbol.dispose]: () => void this.#waiting.delete(waiter) };
  }

  report(report: Report, look: GenerationFacts): void {
    switch (report.event) {
      case "ready":
        this.#readyMs.set(report.gen, ageOf(report.gen, look));
        break;
      case "swapped":
      case "serving":
        this.#settle(report.gen, {
          outcome: "swapped",
          serving: report.gen,
          readyMs: this.#readyMs.get(report.gen),
          durationMs: ageOf(report.gen, look),
        });
        break;
      case "rolled-back":
        this.#settle(report.gen, {
          outcome: "rolled-back",
          serving: report.to,
          readyMs: this.#readyMs.get(report.gen),
          durationMs: ageOf(report.gen, look),
          failure: failureOf(report.failure),
        });
        break;
      case "crashed":
      case "start-failed":
        this.#lastFailure = failureOf(report.failure);
        break;
      case "ignored":
        if (report.what === "swap") this.end(report.why);
        break;
      case "gone":
        this.#readyMs.delete(report.gen);
    }
  }

  /** Nobody will be answered by a swap any more. */
  end(why = "hupwatch has ended"): void {
    const failure = this.#lastFailure ?? { reason: why };
    for (const waiter of this.#waiting) waiter.answer({ outcome: "ended", generation: waiter.from, failure });
    this.#waiting.clear();
  }

  #settle(gen: Gen, outcome: Omit<Outcome, "generation">): void {
    for (const waiter of [...this.#waiting]) {
      if (gen < waiter.from) continue;
      this.#waiting.delete(waiter);
      waiter.answer({ ...outcome, generation: gen });
    }
  }
}
