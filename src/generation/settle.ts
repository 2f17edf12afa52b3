/**
 * The time between a flip and the stop signal: connections that were on their way to the old generation arrive, those that it has
 * accepted are read, and its accept queue is seen to be empty.
 */
import { type Aid, orWithout } from "../os/aid.ts";
import { type Clock, poll } from "../os/clock.ts";

/** At least so long, where there is a socket: connections that were on their way, accepted but not yet read. */
export const SETTLE_MS = 500;
/** If the accept queue does not empty, the server hangs, and a longer wait would not help. */
const MAX_QUEUE_WAIT_MS = 5000;
/** A connection that was passed on from a dead generation has a whole exchange before it, and its client may keep it. */
export const GIVE_BACK_MS = 30_000;
const QUEUE_POLL_MS = 10;

const QUEUE: Aid = {
  what: "reading the length of an accept queue",
  loss: "the old generation gets its stop signal after the warm-up, even if clients wait there",
};

/** Calls `then` once, after `ms` and when no client is queued any more, unless disposed of before. */
export function settle(
  clock: Clock,
  ms: number,
  hasQueued: () => boolean,
  then: () => void,
  maxWaitMs = MAX_QUEUE_WAIT_MS,
): Disposable {
  let timer = clock.after(ms, () => {
    const giveUpAt = clock.now() + maxWaitMs;
    timer = poll(clock, QUEUE_POLL_MS, () => {
      if (clock.now() < giveUpAt && orWithout(QUEUE, hasQueued, false)) return "more";
      then();
      return "enough";
    });
  });
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
