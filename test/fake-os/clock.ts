/** A clock that stands until it is turned. */
import type { Clock } from "../../src/os/clock.ts";

interface Timer {
  at: number;
  then: () => void;
}

export class TurnedClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(ms: number, then: () => void): Disposable {
    const timer = { at: this.#now + ms, then };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  /** Nothing is planned: nobody would ever wake up again by himself. */
  get idle(): boolean {
    return this.#timers.size === 0;
  }

  /** Lets so much time pass: every timer in its order, and what each leads to, before the next. */
  async turn(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (;;) {
      // The first set of those that are due at the same time.
      let next: Timer | undefined;
      for (const timer of this.#timers)
        if (timer.at <= until && timer.at < (next?.at ?? Infinity)) next = timer;
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.then();
      await settle();
    }
    this.#now = until;
  }
}

/** Lets every promise that is resolved by now tell those that wait for it. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};
