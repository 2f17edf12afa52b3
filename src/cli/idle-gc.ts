/**
 * Collects garbage once nothing has happened for a while. The runtime waits until there is more of it, and after swaps 3 of
 * 10 MB are garbage. It takes some milliseconds while no client waits, and leaves no timer.
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
