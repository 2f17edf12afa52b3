/** The time that the machine waits for, of which there is one at most: after a flip, for a confirm, for clients to be answered, in a hold. */
import { formatDuration } from "../duration.ts";
import type { Gen, Tell } from "../events/service-event.ts";
import { Judge } from "../generation/judge.ts";
import { GIVE_BACK_MS, SETTLE_MS, settle } from "../generation/settle.ts";
import type { Clock } from "../os/clock.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { maxBacklog } from "../sockets/open.ts";
import type { Generations } from "./generations.ts";
import type { Effect, Event } from "./states.ts";
import { Waiting } from "./waiting.ts";

type The<K extends Effect["do"]> = Extract<Effect, { do: K }>;

export interface Waited {
  plan: RunPlan;
  clock: Clock;
  generations: Generations;
  post: (event: Event) => void;
  tell: Tell;
}

export class Pause {
  #current: Disposable | undefined;

  constructor(private readonly of: Waited) {}

  /** It is over, however it ended. */
  end(): void {
    this.#current?.[Symbol.dispose]();
    this.#current = undefined;
  }

  /** The time in which a flip can be taken back, and what is on its way to the old one arrives. */
  settle({ old, next, warmUp }: The<"settle">, { isSteered }: { isSteered: boolean }): void {
    const { clock, plan, post } = this.of;
    const hasQueued = () => isSteered && this.#hasQueued(old);
    const ms = Math.max(warmUp ? plan.warmupMs : 0, isSteered ? SETTLE_MS : 0);
    this.#current = settle(clock, ms, hasQueued, () => post({ kind: "settled", gen: next }));
  }

  /** `pass` passes on those that wait for the old one, also those that arrive only now; true while some are not answered. */
  giveBack({ old, next }: The<"give-back">, pass: () => boolean): void {
    const { clock, post } = this.of;
    const isBusy = () => {
      const isPassing = pass();
      return this.#hasQueued(old) || isPassing;
    };
    this.#current = settle(
      clock,
      SETTLE_MS,
      isBusy,
      () => post({ kind: "settled", gen: next }),
      GIVE_BACK_MS,
    );
  }

  #hasQueued(gen: Gen): boolean {
    return this.of.generations.get(gen)?.listeners.hasQueued() === true;
  }

  /** Until it is confirmed, by the judge or by a user. */
  await({ gen, ms, isJudged }: The<"await">): void {
    const { clock, post, plan } = this.of;
    const { judge } = plan;
    const generation = this.of.generations.get(gen);
    if (!isJudged || judge === undefined || !generation)
      this.#current = clock.after(ms, () => post({ kind: "expired", gen, failure: notWithin(ms) }));
    else
      this.#current = new Judge(clock, ms, judge, (line) => generation.run(line), {
        passed: () => post({ kind: "confirm", gen }),
        failed: (reason) => post({ kind: "rollback", gen, failure: { reason } }),
      });
  }

  /** Its listeners are the clients' waiting room: no process has them yet. */
  hold({ gen, ms }: The<"hold">): void {
    const { clock, plan, post, tell } = this.of;
    const generation = this.of.generations.get(gen);
    if (!generation) return;
    // The kernel cuts what was asked for (listen(2)).
    const limit = Math.min(plan.socketOptions.backlog, maxBacklog());
    const over = () => post({ kind: "resume", why: "deadline" });
    this.#current = new Waiting({ clock, ms, listeners: generation.listeners, limit }, over, tell);
  }
}

const notWithin = (ms: number) => ({
  reason: `was not confirmed within ${formatDuration(ms)} (--confirm)`,
});
