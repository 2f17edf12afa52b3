/** How many connections of a public address a group of processes holds: /proc/PID/fd against /proc/net (proc(5)). */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { localColumn } from "./netstat.ts";
import { allProcesses, type Process } from "./procfs.ts";

/** Where a generation accepts: a bound Unix path, or an address (4 or 16 bytes) and a port. */
export type Accepting = { path: string } | { hostBytes: Uint8Array; port: number };

const UNIX_CONNECTED = "03";
const TCP_ESTABLISHED = "01";

export function countConnections(pids: readonly number[], places: readonly Accepting[]): number {
  const owned = socketInodes(pids);
  if (owned.size === 0) return 0;
  const paths = new Set(places.flatMap((p) => ("path" in p ? [p.path] : [])));
  const ports = places.flatMap((p) => ("path" in p ? [] : [p]));
  return (paths.size > 0 ? unixConnections(paths, owned) : 0) + tcpConnections(ports, owned);
}

function socketInodes(pids: readonly number[]): Set<string> {
  return new Set(pids.flatMap((pid) => [...socketsOf(pid).keys()]));
}

/** Its sockets by inode, with a descriptor of each; none where it has ended or is another user's. */
export function socketsOf(pid: number): Map<string, number> {
  const sockets = new Map<string, number>();
  for (const fd of listOf(`/proc/${pid}/fd`)) {
    const target = linkOf(`/proc/${pid}/fd/${fd}`);
    if (target.startsWith("socket:[")) sockets.set(target.slice(8, -1), Number(fd));
  }
  return sockets;
}

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // what cannot be seen is not waited for
  }
}

/** A connection may be closed while its neighbours are looked at. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** All processes that have one of these sockets open, as far as we may look. */
export function holdersOf(inodes: readonly number[]): Process[] {
  const wanted = inodes.map(String);
  return allProcesses().filter(({ pid }) => {
    const sockets = socketsOf(pid);
    return wanted.some((inode) => sockets.has(inode));
  });
}

/** The number by which a process has that socket open; undefined where it has not, or we may not look. */
export const descriptorOf = (pid: number, inode: number): number | undefined =>
  socketsOf(pid).get(String(inode));

/** An accepted Unix connection carries the name that its listener was bound to. */
function unixConnections(paths: ReadonlySet<string>, owned: ReadonlySet<string>): number {
  let count = 0;
  for (const row of readFileSync("/proc/net/unix", "utf8").split("\n")) {
    const [, , , , , state, inode, path] = row.split(/\s+/);
    if (state === UNIX_CONNECTED && path && inode && paths.has(path) && owned.has(inode)) count += 1;
  }
  return count;
}

function tcpConnections(
  ports: readonly Extract<Accepting, { port: number }>[],
  owned: ReadonlySet<string>,
): number {
  if (ports.length === 0) return 0;
  const wanted = new Set(ports.map((p) => localColumn(p.hostBytes, p.port).split(":")[1]));
  let count = 0;
  // A wildcard listener's connections have the address they came to, a dual-stack one's stand in the other table.
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"])
    for (const row of readFileSync(table, "latin1").split("\n")) {
      const fields = row.trim().split(/\s+/);
      if (fields[3] === TCP_ESTABLISHED && wanted.has(fields[1]?.split(":")[1]) && owned.has(fields[9] ?? ""))
        count += 1;
    }
  return count;
}
