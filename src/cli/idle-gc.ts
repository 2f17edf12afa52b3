/**
 * Collects garbage once nothing has happened for a while: the runtime lets it lie until there is more, and after swaps 3 of
 * 10 MB are garbage. Takes some milliseconds while no client waits, and no timer is left behind.
 */
import type { Clock } from "../os/clock.ts";

/** Longer than any quiet moment of a swap without a drain, and short enough that its memory is measured afterwards. */
const QUIET_MS = 5000;

export function idleGc(
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
