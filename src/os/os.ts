/** The one seam to the operating system: a record of functions, real by default, driven by hand in tests. */
import { lstatSync, statSync } from "node:fs";
import { constants } from "node:os";
import { accepts } from "./accepting.ts";
import { type Clock, realClock } from "./clock.ts";
import { type Accepting, type ConnectionWatch, watchConnections } from "./connections.ts";
import { socketsOf } from "./descriptors.ts";
import { watchForeign } from "./foreign.ts";
import type { Keeping, KeepingOwner } from "./keeping.ts";
import { Look, type Marked } from "./look.ts";
import { proportionalBytes } from "./memory.ts";
import { NotifySocket, type Trust } from "./notify-socket.ts";
import { type OomKills, oomKills } from "./oom.ts";
import { canTap, hasOneOutput, type Output, openTap, type Tap } from "./output.ts";
import { listenersOf, type OwnListener } from "./own-listeners.ts";
import {
  expects,
  type Identity,
  isHupwatch,
  isRunning,
  isSame,
  type Leader,
  type Process,
  realUidOf,
  workOf,
} from "./procfs.ts";
import { sendSignal } from "./send-signal.ts";
import { type Child, type SpawnRequest, spawn } from "./spawn.ts";
import { strayChildren } from "./strays.ts";
import { takeDescriptor } from "./take-descriptor.ts";
import { type TreeQuery, treeOf } from "./tree.ts";

export interface Os {
  readonly pid: number;
  readonly clock: Clock;
  /** Throws HupwatchError where the command cannot be started. */
  spawn(request: SpawnRequest): Child;
  /** Another process's child, watched: its exit status cannot be known. */
  adopt(leader: Leader): Child;
  /** Reads what a command writes; undefined if that is not possible. */
  tap(target: Output): Tap | undefined;
  /** Its stdout and stderr would be the same file, whose reader sees the order of their lines. */
  hasOneOutput(): boolean;
  /** A datagram socket in that directory, or with an abstract name. */
  notifySocket(directory: string | undefined, isTrusted: Trust): NotifySocket;
  /** For several questions about the same instant: what one of them has read, the others do not read again. */
  look(): Look;
  /** Every process of a generation that still runs. */
  tree(query: Omit<TreeQuery, "self">, look?: Look): Process[];
  /** Children of ours that we never started, and whose marks name no generation. */
  strays(): Process[];
  /** Its real one; undefined where that very process is gone. */
  uidOf(process: Leader): number | undefined;
  /** It runs, and not as a zombie. */
  isRunning(process: Leader): boolean;
  /** Processes whose environment has that line; of a mark that ends with `=`, one that begins so. */
  marked(mark: string, look: Look): Marked[];
  /** This pid belongs to a hupwatch, and not to another process that got the number later. */
  isHupwatch(pid: number): boolean;
  /** Its sockets by their numbers in /proc, with a descriptor of each. */
  socketsOf(pid: number): ReadonlyMap<string, number>;
  /** A duplicate of that process' descriptor, ours to close; undefined where the kernel does not let us. */
  takeDescriptor(pid: number, fd: number): number | undefined;
  /** Of the file itself, where it is a link, too; undefined where there is none. */
  inodeOf(path: string): number | undefined;
  /** Connections of these places that these processes hold, idle ones included. */
  watchConnections(pids: () => readonly number[], places: readonly Accepting[]): ConnectionWatch;
  /** Whether one of these processes is about to accept from the listener with this inode; false where /proc does not tell. */
  accepts(pids: readonly number[], listenerInode: number): boolean;
  /** What these processes have done so far, and whether one of them is at work. */
  workOf(pids: readonly number[]): { ticks: number; isBusy: boolean };
  /** When that process was first seen, as the times of files are (milliseconds); undefined where it is gone. */
  seenAtMs(pid: number): number | undefined;
  /** Where these processes listen. */
  listenersOf(pids: readonly number[]): OwnListener[];
  /** Memory of these processes, with shared pages counted once (PSS); undefined if it cannot be read. */
  proportionalBytes(pids: readonly number[]): number | undefined;
  /** As the file says; undefined where there is none. */
  changedAtMs(path: string): number | undefined;
  /** Processes that the kernel has killed for want of memory, so far; undefined where nothing counts them. */
  oomKills(): OomKills | undefined;
  /** False where the signal's default action would be taken there. */
  expects(pid: number, signal: NodeJS.Signals): boolean;
  /** False where that very process (pid and start time) is gone, or the kernel refuses. */
  kill(target: Identity, signal: NodeJS.Signals): boolean;
  /** Connections of a generation that stops live on; undefined where they are not to. */
  keepConnections?(owner: KeepingOwner): Keeping | undefined;
}

export const realOs: Os = {
  pid: process.pid,
  clock: realClock,
  spawn,
  tap: (target) => (canTap() ? openTap(target, realClock) : undefined),
  hasOneOutput,
  notifySocket: (directory, isTrusted) => new NotifySocket(directory, isTrusted, realClock),
  adopt: (leader) => watchForeign(leader, realClock),
  look: () => new Look(),
  tree: (query, look) => treeOf({ ...query, self: process.pid }, look),
  strays: () => strayChildren(process.pid),
  uidOf: realUidOf,
  isRunning,
  marked: (mark, look) => look.marked(mark),
  isHupwatch,
  socketsOf,
  takeDescriptor,
  inodeOf: (path) => lstatSync(path, { throwIfNoEntry: false })?.ino,
  watchConnections,
  accepts,
  listenersOf,
  workOf,
  oomKills,
  proportionalBytes,
  changedAtMs: (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs,
  // The kernel makes the entry at the first look.
  seenAtMs: (pid) => statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.ctimeMs,
  expects: (pid, signal) => expects(pid, constants.signals[signal]),
  kill: (target, signal) => isSame(target) && sendSignal(target.pid, signal),
};
