/**
 * Generations whose hupwatch died or left. They go on serving; a new hupwatch of the same name finds them here, asks for
 * their very listeners (pidfd_getfd(2)) and swaps from them, so that it never starts a second master beside the first.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { close, pidfdGetfd, pidfdOpen } from "../os/libc.ts";
import { environmentOf, isSame, processOf, treeOf } from "../os/procfs.ts";
import type { RecordedGeneration, RecordedListener, RecordedState } from "./state-file.ts";

export interface Survivor extends RecordedGeneration {
  /** The pid in its HUPWATCH_PID: that of the hupwatch that started it. */
  hupwatchPid: number;
}

export interface Survivors {
  /** The one that clients reach. */
  current: Survivor;
  /** Unfinished or retired ones, to be ended before the next swap. */
  others: Survivor[];
  last: number;
}

/** Undefined where nobody of that state lives. `leadsTo` tells which generation the public path leads to, if it can. */
export function findSurvivors(
  state: RecordedState | undefined,
  leadsTo: (generation: Survivor) => boolean,
): Survivors | undefined {
  if (!state) return undefined;
  const recorded = state.generations.filter((g) => isSame(g) || hasTree(g, state.hupwatch.pid));
  const living = [...recorded, ...unrecorded(state, recorded)].map((g) => ({
    ...g,
    hupwatchPid: state.hupwatch.pid,
  }));
  const current =
    living.find(leadsTo) ??
    living.find((g) => g.role === "serving") ??
    living.findLast((g) => g.role === "starting") ??
    living.at(-1);
  if (!current) return undefined;
  return {
    current,
    others: living.filter((g) => g !== current),
    last: Math.max(state.last, ...living.map((g) => g.number)),
  };
}

const marks = (hupwatchPid: number, generation: number) => [
  `HUPWATCH_PID=${hupwatchPid}`,
  `HUPWATCH_GENERATION=${generation}`,
];

/** The leader has gone, but workers of its live on. */
const hasTree = (g: RecordedGeneration, hupwatchPid: number) =>
  treeOf({ leader: g, marks: marks(hupwatchPid, g.number), self: process.pid }).length > 0;

/** Started in the instant between the fork and the state's write: known only by what their environment says. */
function unrecorded(state: RecordedState, recorded: readonly RecordedGeneration[]): RecordedGeneration[] {
  const found = new Map<number, RecordedGeneration>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const environment = environmentOf(pid);
    if (!environment.includes(`HUPWATCH_PID=${state.hupwatch.pid}`)) continue;
    if (!environment.includes(`HUPWATCH_NAME=${state.name}`)) continue;
    const number = Number(environment.find((l) => l.startsWith("HUPWATCH_GENERATION="))?.slice(20));
    if (!(number > 0) || recorded.some((g) => g.number === number)) continue;
    const process = processOf(pid);
    const known = found.get(number);
    if (process && (!known || process.startTime < known.startTime))
      found.set(number, { pid, startTime: process.startTime, number, role: "starting", listeners: [] });
  }
  return [...found.values()];
}

/**
 * A duplicate of a survivor's listener, taken out of any process of its tree; undefined where the kernel does not let us
 * (another user, or Yama's ptrace_scope).
 */
export function takeListener(survivor: Survivor, listener: RecordedListener): number | undefined {
  const tree = treeOf({
    leader: survivor,
    marks: marks(survivor.hupwatchPid, survivor.number),
    self: process.pid,
  });
  for (const { pid } of tree) {
    const fd = descriptorOf(pid, listener.inode);
    if (fd === undefined) continue;
    const taken = takeFrom(pid, fd);
    if (taken !== undefined) return taken;
  }
  return undefined;
}

function descriptorOf(pid: number, inode: number): number | undefined {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`))
      if (readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`) return Number(fd);
  } catch {
    // Ended, or not ours to look into: the next process of the tree may have it.
  }
  return undefined;
}

function takeFrom(pid: number, fd: number): number | undefined {
  let pidfd: number | undefined;
  try {
    pidfd = pidfdOpen(pid);
    return pidfdGetfd(pidfd, fd);
  } catch {
    return undefined;
  } finally {
    if (pidfd !== undefined) close(pidfd);
  }
}
