/**
 * A client that requested a swap waits here for its outcome. Generation numbers are given in order, and every requested swap leads to a
 * generation with a number above the highest one of that moment. So the outcome of such a generation, and of none before it, answers the
 * request. Two requests during one swap share the outcome of the swap that follows.
 */

import type { Gen, ServiceEvent } from "../events/service-event.ts";
import { type FailureFacts, failureFacts } from "../events/words.ts";
import type { ReloadAnswer } from "./protocol.ts";

export type Outcome = Omit<ReloadAnswer, "schema" | "name">;

interface Waiter {
  /** The lowest number that answers it. */
  from: Gen;
  answer(outcome: Outcome): void;
}

export class Outcomes {
  readonly #waiting = new Set<Waiter>();
  #lastFailure: FailureFacts | undefined;

  get waiting(): number {
    return this.#waiting.size;
  }

  /** `from`: the highest number given so far plus one. Call it before the swap is requested. */
  wait(from: Gen, answer: (outcome: Outcome) => void): Disposable {
    const waiter = { from, answer };
    this.#waiting.add(waiter);
    return { [Symbol.dispose]: () => void this.#waiting.delete(waiter) };
  }

  readonly consume = (event: ServiceEvent): void => {
    switch (event.event) {
      case "swap.done":
      case "generation.serves": {
        const { generation, readyMs, doubt, ageMs: durationMs } = event;
        const outcome = doubt ? "unproven" : "swapped";
        this.#settle(generation, { outcome, doubt, serving: generation, readyMs, durationMs });
        break;
      }
      case "swap.rolled-back": {
        const { generation, serving, readyMs, ageMs: durationMs } = event;
        const failure = failureFacts(event.failure);
        this.#settle(generation, { outcome: "rolled-back", serving, readyMs, durationMs, failure });
        break;
      }
      case "generation.crashed":
      case "generation.start-failed":
        this.#lastFailure = failureFacts(event.failure);
        break;
      case "ignored":
        if (event.what === "swap") this.end(event.why);
    }
  };

  /** No swap will answer a client any more. */
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
