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
 * Calls `ask` soon (never from within this call) and then every `ms` until it returns "enough". Calls never overlap. If `firstMs` is given,
 * the pauses double from there up to `ms`, for things that are most often over at once. If `ask` throws, the next call follows all the same,
 * since something waits for the end.
 */
export function poll(clock: Clock, ms: number, ask: () => "more" | "enough", firstMs = ms): Disposable {
  let pause = firstMs / 2;
  return rounds(clock, ask, () => {
    pause = Math.min(2 * pause, ms);
    return pause;
  });
}

const PATIENT_MS = 250;

/**
 * Like `poll`, but the longer nothing comes, the longer are the pauses: a hundredth of the wait, 250 ms at most. For waits without a
 * deadline, as at a first start. "news" is progress: from then on the pauses are `ms` again.
 */
export function pollPatiently(clock: Clock, ms: number, ask: () => "more" | "news" | "enough"): Disposable {
  let since = clock.now();
  return rounds(clock, ask, (answer) => {
    if (answer === "news") since = clock.now();
    return Math.max(ms, Math.min((clock.now() - since) / 100, PATIENT_MS));
  });
}

function rounds<Answer extends "more" | "news" | "enough">(
  clock: Clock,
  ask: () => Answer,
  pauseAfter: (answer: Answer | "more") => number,
): Disposable {
  let ended = false;
  const round = () => {
    if (ended) return;
    let answer: Answer | "more" = "more";
    try {
      answer = ask();
    } finally {
      if (answer !== "enough" && !ended) timer = clock.after(pauseAfter(answer), round);
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
