/**
 * Collects garbage once nothing has happened for a while: the runtime lets it lie until there is more, and after swaps 3 of
 * 10 MB are garbage. Takes some milliseconds at a time when nobody waits, and no timer is left behind.
 */
import type { Clock } from "../os/clock.ts";

/** Longer than a swap is ever quiet without a drain, and over before anybody looks how much memory it takes. */
const QUIET_MS = 5000;

export function tidying(
  clock: Clock,
  collect: () => void = () => Bun.gc(true),
): { record(): void } & Disposable {
  let timer: Disposable | undefined;
  return {
    record() {
      timer?.[Symbol.dispose]();
      timer = clock.after(QUIET_MS, collect);
    },
    [Symbol.dispose]: () => timer?.[Symbol.dispose](),
  };
}
