/** Time as the swap sees it: a monotonic now and one-shot timers. Tests turn a clock of their own. */
export interface Clock {
  /** Milliseconds since some moment; never goes back, whatever happens to the wall clock. */
  now(): number;
  /** Calls `then` once after `ms` milliseconds (MAX_DELAY_MS at most), unless disposed of before. */
  after(ms: number, then: () => void): Disposable;
}

/** setTimeout's limit, 24.8 days: with more it calls at once. */
export const MAX_DELAY_MS = 2 ** 31 - 1;

export const realClock: Clock = {
  now: () => performance.now(),
  after(ms, then) {
    const timer = setTimeout(then, Math.min(ms, MAX_DELAY_MS));
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/**
 * Calls `ask` soon (never from within this call) and then every `ms` until it says "enough". Never overlaps. From `firstMs`,
 * where that is given, the pauses double until they are `ms`: for what is most often over at once. What a look throws goes up,
 * and the next one follows all the same: something waits for its end.
 */
export function poll(clock: Clock, ms: number, ask: () => "more" | "enough", firstMs = ms): Disposable {
  let ended = false;
  let pause = firstMs;
  const round = () => {
    if (ended) return;
    let answer: "more" | "enough" = "more";
    try {
      answer = ask();
    } finally {
      if (answer === "more" && !ended) timer = clock.after(pause, round);
      pause = Math.min(2 * pause, ms);
    }
  };
  let timer = clock.after(0, round);
  return {
    [Symbol.dispose]: () => {
      ended = true;
      timer[Symbol.dispose]();
    },
  };
}
