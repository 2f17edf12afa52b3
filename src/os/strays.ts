/**
 * Children of ours that we never started. Everything that a generation starts stays below hupwatch, the subreaper (prctl(2)): a
 * process whose parent has ended becomes our child, even if it has left its session and emptied its environment
 * (su -, env -i, start-stop-daemon). Then the kernel no longer says from which generation it came.
 */
import { HOOK_OF, lineOf } from "./marks.ts";
import { allProcesses, environmentOf, type Process, processOf } from "./procfs.ts";
import { isOwnChild } from "./spawn.ts";
import { childrenOf } from "./tree.ts";

/** Those that run and do not say that they belong to a generation, which looks after those, or to a hook. */
export const strayChildren = (self: number): Process[] =>
  children(self).filter(
    ({ pid, ppid, state }) =>
      ppid === self && !isOwnChild(pid) && state !== "Z" && state !== "X" && !isClaimed(pid, self),
  );

const children = (self: number): Process[] =>
  childrenOf(self)?.flatMap((pid) => processOf(pid) ?? []) ?? allProcesses();

function isClaimed(pid: number, self: number): boolean {
  const environment = environmentOf(pid);
  return environment.includes(lineOf("hupwatchPid", self)) || environment.includes(`${HOOK_OF}=${self}`);
}
