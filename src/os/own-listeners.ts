/** Where processes listen: their descriptors (proc(5)) against the kernel's tables of listeners (sock_diag(7)). */
import { readFileSync } from "node:fs";
import { socketsOf } from "./descriptors.ts";
import { tcpListeners, unixListeners } from "./socket-table.ts";

export interface OwnListener {
  pid: number;
  inode: number;
  /** `host` has 4 or 16 bytes in network order; a name that is not a path begins with NUL. */
  at: { name: string } | { host: Uint8Array; port: number };
}

/** Each socket once, with the first process that has it. None where the kernel does not say. */
export function listenersOf(pids: readonly number[]): OwnListener[] {
  const owners = new Map<number, number>();
  for (const pid of pids)
    for (const inode of socketsOf(pid).keys()) if (!owners.has(Number(inode))) owners.set(Number(inode), pid);
  if (owners.size === 0) return [];
  const tcp = (["inet", "inet6"] as const).flatMap((family) => tcpListeners(family, 0) ?? []);
  const all = [
    ...tcp.map(({ inode, host, port }) => ({ inode, at: { host, port } })),
    ...(unixListeners() ?? []).map(({ inode, name }) => ({ inode, at: { name } })),
  ];
  return all.flatMap(({ inode, at }) => {
    const pid = owners.get(inode);
    return pid === undefined ? [] : [{ pid, inode, at }];
  });
}

/**
 * Most probably the kernel chose this port (ip(7), ip_local_port_range), and the next copy gets another one. Libraries use such ports among
 * processes, on loopback addresses; a server has a port that its clients know.
 */
export function isChosenPort(host: Uint8Array, port: number): boolean {
  const isLoopback =
    host.length === 4 ? host[0] === 127 : host.at(-1) === 1 && host.slice(0, -1).every((b) => b === 0);
  if (!isLoopback) return false;
  const [low, high] = localPorts();
  return port >= low && port <= high;
}

/** The kernel's own default where /proc/sys is not to be seen. */
function localPorts(): [low: number, high: number] {
  try {
    const range = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1");
    const [low = 32768, high = 60999] = range.split(/\s+/).map(Number);
    return [low, high];
  } catch {
    return [32768, 60999];
  }
}
