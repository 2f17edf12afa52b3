/**
 * Survivors that are in no state file: the run directory was another one (XDG_RUNTIME_DIR, PrivateTmp=, sudo, cron), was removed by
 * logind, or could not be written. A process is a survivor if it listens at one of the start's addresses, has a user that the start trusts,
 * and has the marks of a hupwatch that is gone. With any less, any process could claim to be one.
 */
import { ANY_HUPWATCH, marksIn } from "../os/marks.ts";
import type { Os } from "../os/os.ts";
import type { Process } from "../os/procfs.ts";
import { listeningAt } from "../sockets/listening.ts";
import { isTrusted, type Known, takeCensus } from "./census.ts";
import type { RecordedState } from "./state-file.ts";
import type { Left } from "./takeover.ts";

/** Undefined where there is none. The kernel is known first, and /proc only where something listens. */
export function findUnnoted(known: Known, os: Os): Left | undefined {
  const inodes = known.addresses.flatMap((address) => listeningAt(address).map(({ inode }) => inode));
  if (inodes.length === 0) return undefined;
  const look = os.look();
  const holds = ({ pid }: Process) => {
    const sockets = os.socketsOf(pid);
    return inodes.some((inode) => sockets.has(String(inode)));
  };
  const found = os.marked(ANY_HUPWATCH, look).flatMap(({ process, environment }) => {
    const { hupwatchPid, name } = holds(process) ? marksIn(environment) : {};
    if (hupwatchPid === undefined || name === undefined || os.isHupwatch(hupwatchPid)) return [];
    return isTrusted(process, known, os) ? [{ hupwatchPid, name }] : [];
  });
  const [first] = found;
  if (!first) return undefined;
  // The generations of several lives of one service have the pids of several hupwatches.
  const pids = found.flatMap(({ name, hupwatchPid }) => (name === first.name ? [hupwatchPid] : []));
  const hupwatch = { pid: first.hupwatchPid, startTime: undefined };
  const state: RecordedState = { version: 1, name: first.name, hupwatch, last: 0, generations: [] };
  return { state, census: takeCensus(state, known, os, [...new Set(pids)], look) };
}
