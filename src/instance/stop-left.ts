/**
 * Ends a service whose hupwatch is gone, as that hupwatch would have: the state file has its processes with their start times and their
 * stop sequence. It holds the lock, so that no start takes the service over meanwhile.
 */

import { basename } from "node:path";
import type { Gen, Tell } from "../events/service-event.ts";
import { Processes } from "../generation/processes.ts";
import { Takedown } from "../generation/takedown.ts";
import type { Os } from "../os/os.ts";
import type { Process } from "../os/procfs.ts";
import { parseStopSequence } from "../plan/stop-sequence.ts";
import { type Survivor, takeCensus } from "./census.ts";
import { alreadyRunning, doorOf, InstanceLock, removeOwn } from "./run-dir.ts";
import { readState, statePath } from "./state-file.ts";
import { removeDeadNames } from "./takeover.ts";

/** Older versions did not note it. */
const STOP = "TERM";

/** Returns the processes that would not end. Throws HupwatchError where a hupwatch of that name lives, or the run directory is not ours. */
export async function stopLeft(
  { runDir, name }: { runDir: string; name: string },
  os: Os,
  tell: Tell,
): Promise<Process[]> {
  using _lock = InstanceLock.take(runDir, name, os.pid);
  const state = readState(runDir, name);
  if (state === undefined) return [];
  if (os.isRunning(state.hupwatch)) throw alreadyRunning(name, state.hupwatch.pid);
  const { survivors } = takeCensus(state, { commandUid: undefined, addresses: [] }, os);
  const leftBehind = (await Promise.all(survivors.map((survivor) => end(survivor, os, tell)))).flat();
  removeDeadNames(state, undefined);
  for (const file of [statePath(runDir, name), doorOf(runDir, name)]) removeOwn(runDir, basename(file));
  removeOwn(runDir, `${name}.sock`);
  return leftBehind;
}

function end(survivor: Survivor, os: Os, tell: Tell): Promise<Process[]> {
  const gone = Promise.withResolvers<Process[]>();
  const gen: Gen = survivor.number;
  let leftBehind: Process[] = [];
  const processes = new Processes(gen, undefined, os, tell, () => takedown.sweep());
  const takedown = new Takedown({
    clock: os.clock,
    stopSequence: parseStopSequence(survivor.stop ?? STOP),
    untilIdleMs: 0,
    processes,
    connections: () => os.watchConnections(() => processes.pids(), []),
    keep: (then) => then(),
    leftBehind(left) {
      leftBehind = left;
    },
    gone: () => gone.resolve(leftBehind),
  });
  processes.adopt(survivor, survivor.hupwatchPid);
  takedown.begin("graceful");
  return gone.promise;
}
