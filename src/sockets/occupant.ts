/** Which process listens at a Unix socket's path, and what the user can do about it. */
import { readlinkSync } from "node:fs";
import { descriptorOf, holdersOf } from "../os/descriptors.ts";
import { SystemError } from "../os/libc.ts";
import { marksIn } from "../os/marks.ts";
import { KEEPER, TEE } from "../os/process-names.ts";
import { allProcesses, environmentOf, isHupwatch, type Process, processOf } from "../os/procfs.ts";
import { socketsAt, tcpListeners } from "../os/socket-table.ts";
import { Probe } from "./probe.ts";

export interface Occupant {
  /** It runs; undefined where none can be named. Of a backlog that is full not even the pid is to be had. */
  pid: number | undefined;
  wayOut: string;
}

/** Undefined where the socket is a dead leftover, or gone. Finding out costs one connect. */
export function occupantOf(path: string): Occupant | undefined {
  let pid: number | undefined;
  try {
    using probe = Probe.unix(path);
    pid = living(path, probe.peerPid());
  } catch (error) {
    if (error instanceof SystemError && (error.errno === "ECONNREFUSED" || error.errno === "ENOENT"))
      return undefined;
    pid = living(path, 0);
  }
  return { pid, wayOut: wayOut(environmentOf(pid ?? 0)) };
}

const listenersAt = (path: string): number[] =>
  (socketsAt({ path }) ?? []).flatMap(({ inode, listening }) => (listening ? [inode] : []));

/** Tells whether it still has the socket that is bound to the path now, without a connection to it; false where that is not known. */
export function stillHolds(path: string, pid: number | undefined): () => boolean {
  let link: string | undefined;
  let target = "";
  return () => {
    if (pid === undefined) return false;
    try {
      if (link === undefined) {
        const inode = listenersAt(path).find((one) => descriptorOf(pid, one) !== undefined);
        if (inode === undefined) return false;
        link = `/proc/${pid}/fd/${descriptorOf(pid, inode)}`;
        target = `socket:[${inode}]`;
      }
      return readlinkSync(link) === target;
    } catch {
      return false;
    }
  };
}

/**
 * The kernel names the process that called listen(2). That may be a hupwatch, which never accepts, or one that has died since: then
 * one that has the listener open besides.
 */
function living(path: string, pid: number): number | undefined {
  const process = pid > 0 ? processOf(pid) : undefined;
  const lives = process !== undefined && process.state !== "Z";
  if (lives && !isHupwatch(pid)) return pid;
  const inodes = listenersAt(path);
  const holds = (candidate: number) => inodes.some((inode) => descriptorOf(candidate, inode) !== undefined);
  const isAnAid = ({ command }: Process) => command === TEE || command === KEEPER;
  const found = allProcesses().find((p) => p.pid !== pid && p.state !== "Z" && !isAnAid(p) && holds(p.pid));
  return found?.pid ?? (lives ? pid : undefined);
}

/** What to say of a port that a process of a hupwatch's service has, but of `ownName`'s; undefined where none is to be seen. Looks through all of /proc. */
export function servedByHupwatch(port: number, ownName?: string): string | undefined {
  const inodes = (["inet", "inet6"] as const).flatMap((family) => tcpListeners(family, port) ?? []);
  if (inodes.length === 0) return undefined;
  for (const { pid, command } of holdersOf(inodes.map(({ inode }) => inode))) {
    const environment = environmentOf(pid);
    const isOwn = marksIn(environment).name === ownName;
    const way = isOwn ? undefined : wayPast(environment, "port");
    if (way !== undefined) return `process ${pid} (${command}) listens on port ${port}: ${way}`;
  }
  return undefined;
}

const wayOut = (environment: readonly string[]): string =>
  wayPast(environment, "path") ??
  "end that process or choose another path; hupwatch never takes a live socket away from another process";

/** `environment` is that of the process that listens, and says what it likes: no name is shown that --name would not take. */
function wayPast(environment: readonly string[], what: "path" | "port"): string | undefined {
  const { name, hupwatchPid: pid } = marksIn(environment);
  if (name === undefined) return undefined;
  if (pid !== undefined && isHupwatch(pid))
    return `it serves for hupwatch '${name}', which runs as process ${pid}: 'hupwatch reload ${pid}' swaps it, 'hupwatch stop ${pid}' ends both, or choose another ${what}`;
  return `it serves for hupwatch '${name}', which is gone: start the same command line again, as that hupwatch's user or as root, to take it over`;
}
