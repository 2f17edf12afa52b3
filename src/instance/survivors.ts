/**
 * Generations whose hupwatch died or left. They go on serving; a new hupwatch of the same name finds them here, asks for
 * their very listeners (pidfd_getfd(2)) and swaps from them, so that it never starts a second master beside the first.
 */
import { readdirSync, readlinkSync } from "node:fs";
import type { RecordedGeneration } from "../generation/record.ts";
import { close, pidfdGetfd, pidfdOpen } from "../os/libc.ts";
import { RELAY } from "../os/output.ts";
import { environmentOf, isRunning, type Process, processOf, treeOf } from "../os/procfs.ts";
import type { RecordedState } from "./state-file.ts";

export interface Survivors {
  /** The one that clients reach; undefined where nobody is left who could answer them. */
  current: RecordedGeneration | undefined;
  /** Unfinished or retired ones, to be ended before the next swap. */
  others: RecordedGeneration[];
  last: number;
}

/** `leadsTo` tells which generation the public path leads to, if it can. */
export function findSurvivors(
  state: RecordedState,
  leadsTo: (generation: RecordedGeneration) => boolean,
): Survivors {
  const started = state.generations.filter((g) => g.pid > 0);
  const living = [...started.filter((g) => isRunning(g) || hasTree(g)), ...unrecorded(state, started)];
  // What a dead leader left behind may be workers that still accept, or nothing but a log's relay.
  const able = living.filter(isAble);
  // Those who share a listener are all behind the public path.
  const reached = able.filter(leadsTo);
  const current =
    reached.find((g) => g.role === "serving") ??
    reached[0] ??
    able.find((g) => g.role === "serving") ??
    able.findLast((g) => g.role === "starting") ??
    able.at(-1);
  return {
    current,
    others: living.filter((g) => g !== current),
    last: Math.max(state.last, ...living.map((g) => g.number)),
  };
}

const marks = ({ hupwatchPid, number }: RecordedGeneration) => [
  `HUPWATCH_PID=${hupwatchPid}`,
  `HUPWATCH_GENERATION=${number}`,
];

/** The leader has gone, but workers of its live on. */
const hasTree = (g: RecordedGeneration) =>
  treeOf({ leader: g, marks: marks(g), self: process.pid }).length > 0;

/** Started in the instant between the fork and the state's write: whose pid is known only by their environment. */
function unrecorded(state: RecordedState, started: readonly RecordedGeneration[]): RecordedGeneration[] {
  const found = new Map<number, RecordedGeneration>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const environment = environmentOf(pid);
    if (!environment.includes(`HUPWATCH_PID=${state.hupwatch.pid}`)) continue;
    if (!environment.includes(`HUPWATCH_NAME=${state.name}`)) continue;
    const number = Number(environment.find((l) => l.startsWith("HUPWATCH_GENERATION="))?.slice(20));
    if (!(number > 0) || started.some((g) => g.number === number)) continue;
    const process = processOf(pid);
    const known = found.get(number);
    if (!process || (known && known.startTime <= process.startTime)) continue;
    const planned = state.generations.find((g) => g.number === number);
    const { role = "starting", listeners = [] } = planned ?? {};
    const { startTime } = process;
    found.set(number, { pid, startTime, number, role, listeners, hupwatchPid: state.hupwatch.pid });
  }
  return [...found.values()];
}

/**
 * A duplicate of a survivor's listener, taken out of any process of its tree; undefined where the kernel does not let us
 * (another user, or Yama's ptrace_scope).
 */
export function takeListener(survivor: RecordedGeneration, inode: number): number | undefined {
  for (const { pid } of treeOf({ leader: survivor, marks: marks(survivor), self: process.pid })) {
    const fd = descriptorOf(pid, inode);
    if (fd === undefined) continue;
    const taken = takeFrom(pid, fd);
    if (taken !== undefined) return taken;
  }
  return undefined;
}

/** Those of its tree that have it open. */
const holdersOf = (survivor: RecordedGeneration, inode: number): Process[] =>
  treeOf({ leader: survivor, marks: marks(survivor), self: process.pid }).filter(
    ({ pid }) => descriptorOf(pid, inode) !== undefined,
  );

/** Its relay counts: a listener that anybody has open stays in its group. */
export const holds = (survivor: RecordedGeneration, inode: number): boolean =>
  holdersOf(survivor, inode).length > 0;

/** Somebody is left who may accept. */
const isAble = (survivor: RecordedGeneration): boolean =>
  isRunning(survivor) ||
  survivor.listeners.some(({ inode }) => holdersOf(survivor, inode).some(({ command }) => command !== RELAY));

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
