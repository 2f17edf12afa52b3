/**
 * Connections on which a hupwatch has left their server deaf: it was killed, or left, in the moment in which it held them to see whether they
 * stand between two messages (kept/README.md). Loaded only where there may be some.
 */
import { type Accepting, connectionsOf } from "./connections.ts";
import { close } from "./libc.ts";
import { HELD_MARK, lowWater, setLowWater } from "./libc-kept.ts";

/** Their server is woken again for what has come, and for what comes. One of which no duplicate can be had is left out. */
export function wakeConnections(
  pids: readonly number[],
  places: readonly Accepting[],
  take: (pid: number, fd: number) => number | undefined,
): void {
  const search = connectionsOf(pids, places);
  let step = search.next();
  while (!step.done) step = search.next();
  for (const { pid, fd } of step.value) {
    const own = take(pid, fd);
    if (own === undefined) continue;
    if (lowWater(own) >= HELD_MARK) setLowWater(own, 1);
    close(own);
  }
}
