/**
 * Generations whose hupwatch died or left. They go on serving; a new hupwatch of the same name finds them here, asks for
 * their very listeners (pidfd_getfd(2)) and swaps from them, so that it never starts a second master beside the first.
 */
import { readdirSync } from "node:fs";
import { type RecordedGeneration, type RecordedListener, treeQueryOf } from "../generation/record.ts";
import { descriptorOf } from "../os/descriptors.ts";
import { close, pidfdGetfd, pidfdOpen } from "../os/libc.ts";
import { RELAY } from "../os/output.ts";
import {
  environmentOf,
  isOneOf,
  isRunning,
  type Process,
  processOf,
  realUidOf,
  treeOf,
} from "../os/procfs.ts";
import { listeningAt } from "../sockets/listening.ts";
import type { RecordedState } from "./state-file.ts";

export interface Survivors {
  /** The one that clients reach; undefined where nobody is left who could answer them. */
  current: RecordedGeneration | undefined;
  /** Unfinished or retired ones, to be ended before the next swap. */
  others: RecordedGeneration[];
  last: number;
}

/** What the start that looks knows by itself. */
export interface Asked {
  /** Of its command; undefined where it has a name that only the system's libraries can look up. */
  commandUid: number | undefined;
  /** That it is to hold, as `format` writes them. */
  addresses: readonly string[];
}

/** `leadsTo` tells which generation the public path leads to, if it can. */
export function findSurvivors(
  state: RecordedState,
  asked: Asked,
  leadsTo: (generation: RecordedGeneration) => boolean,
): Survivors {
  const started = state.generations.filter((g) => g.pid > 0 && !isSomebodyElses(g));
  const recorded = started.map((g) => ({ ...g, uid: realUidOf(g) ?? g.uid ?? asked.commandUid }));
  const noted = recorded.filter((g) => isRunning(g) || treeAround(g).length > 0);
  const found = unrecorded(state, asked);
  const living = [...noted, ...found];
  // What a dead leader left behind may be workers that still accept, or nothing but a log's relay. What nobody has recorded is
  // known by its environment, which anything of that user can have: only what it listens on shows that clients reach it.
  const able = [...noted.filter((g) => isRunning(g) || accepts(g)), ...found.filter(accepts)];
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

/**
 * After a restart of the machine, or of a container that keeps its run directory, a number and a start time may come again. A
 * process of root's may have become any user since, and sudo(8) makes any user root; no other change is in its power.
 */
function isSomebodyElses(g: RecordedGeneration): boolean {
  const uid = realUidOf(g);
  return uid !== undefined && uid !== 0 && ![undefined, 0, uid].includes(g.uid);
}

const treeAround = (g: RecordedGeneration): Process[] => treeOf({ ...treeQueryOf(g), self: process.pid });

/**
 * Started in the instant between the fork and the state's write, or while the disk was full: whose pid is known only by
 * their environment. That of another user's process says nothing.
 */
function unrecorded(state: RecordedState, asked: Asked): RecordedGeneration[] {
  const uids = [process.getuid?.(), asked.commandUid, ...state.generations.map((g) => g.uid)];
  const known = uids.filter((uid) => uid !== undefined);
  const started = new Set(state.generations.filter((g) => g.pid > 0).map((g) => g.number));
  const found = new Map<number, RecordedGeneration>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const number = generationOf(environmentOf(pid), state);
    if (number === undefined || started.has(number)) continue;
    const process = processOf(pid);
    if (!process || !isOneOf(known, process)) continue;
    const { startTime } = process;
    if ((found.get(number)?.startTime ?? Number.POSITIVE_INFINITY) <= startTime) continue;
    const { role = "starting", listeners = [] } = state.generations.find((g) => g.number === number) ?? {};
    const uid = realUidOf(process);
    found.set(number, { pid, startTime, uid, number, role, listeners, hupwatchPid: state.hupwatch.pid });
  }
  return [...found.values()].map((g) =>
    g.listeners.length > 0 ? g : { ...g, listeners: listenersOf(g, asked.addresses) },
  );
}

function generationOf(environment: readonly string[], { name, hupwatch }: RecordedState): number | undefined {
  if (!environment.includes(`HUPWATCH_PID=${hupwatch.pid}`)) return undefined;
  if (!environment.includes(`HUPWATCH_NAME=${name}`)) return undefined;
  const number = Number(environment.find((l) => l.startsWith("HUPWATCH_GENERATION="))?.slice(20));
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

/** What it has in its hands of all that the kernel knows to listen there. */
const listenersOf = (g: RecordedGeneration, addresses: readonly string[]): RecordedListener[] =>
  addresses.flatMap((address) =>
    listeningAt(address)
      .filter(({ inode }) => holds(g, inode))
      .map((listening) => ({ address, ...listening })),
  );

/**
 * A duplicate of a survivor's listener, taken out of any process of its tree; undefined where the kernel does not let us
 * (another user, or Yama's ptrace_scope).
 */
export function takeListener(survivor: RecordedGeneration, inode: number): number | undefined {
  for (const { pid } of treeAround(survivor)) {
    const fd = descriptorOf(pid, inode);
    if (fd === undefined) continue;
    const taken = takeFrom(pid, fd);
    if (taken !== undefined) return taken;
  }
  return undefined;
}

/** Those of its tree that have it open. */
const holdersOf = (survivor: RecordedGeneration, inode: number): Process[] =>
  treeAround(survivor).filter(({ pid }) => descriptorOf(pid, inode) !== undefined);

/** Its relay counts: a listener that anybody has open stays in its group. */
export const holds = (survivor: RecordedGeneration, inode: number): boolean =>
  holdersOf(survivor, inode).length > 0;

/** Somebody is left who may accept. */
const accepts = (survivor: RecordedGeneration): boolean =>
  survivor.listeners.some(({ inode }) => holdersOf(survivor, inode).some(({ command }) => command !== RELAY));

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
