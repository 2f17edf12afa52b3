/**
 * What serves at the load's address, seen from the kernel and not from what a process says: the processes that hold its
 * listener or one of its connections. A swap that replaced something shows a process that was not there before, and one
 * that listens no more.
 */
import { networkInterfaces } from "node:os";
import type { Address } from "../load/target.ts";
import type { Process } from "../os/procfs.ts";
import { type Place, socketsAt } from "../os/socket-table.ts";
import type { Processes } from "./journal.ts";
import { holdersOf } from "./stock.ts";

export interface Server extends Process {
  /** It holds a listener; else connections only. */
  listens: boolean;
}

/** PID 1 holds the sockets of others (systemd.socket(5)) and serves no client. */
const isServer = ({ pid }: Process) => pid !== 1;

/** Undefined for another machine, of which the kernel knows nothing. */
export function placeOf(address: Address): Place | undefined {
  if (address.kind === "unix") return { path: address.path };
  const { hostname } = address;
  const local = Object.values(networkInterfaces()).flatMap((all) => all?.map((one) => one.address) ?? []);
  const isHere = hostname === "localhost" || hostname.startsWith("127.") || local.includes(hostname);
  return isHere ? { port: address.port } : undefined;
}

/** Empty where they may not be looked into. */
export async function serversAt(address: Address): Promise<Server[]> {
  const place = placeOf(address);
  const rows = (place && socketsAt(place)) ?? [];
  const inodes = new Set(rows.map((row) => row.inode).filter((inode) => inode !== 0));
  const listening = new Set(rows.filter((row) => row.listening).map((row) => row.inode));
  const holders = await holdersOf(inodes);
  return holders.filter(isServer).map(({ inodes: held, ...process }) => ({
    ...process,
    listens: [...held].some((inode) => listening.has(inode)),
  }));
}

/** A server that only grows under the load has new processes, too: one must have let go as well. */
export function changeOf(before: readonly Server[], after: readonly Server[]): Processes {
  const same = (a: Server) => (b: Server) => a.pid === b.pid && a.startTime === b.startTime;
  const isNew = after.some((one) => !before.some(same(one)));
  const letGo = before.some((one) => {
    const now = after.find(same(one));
    return now === undefined || (one.listens && !now.listens);
  });
  const unknown = before.length === 0 || after.length === 0;
  return {
    change: unknown ? "unknown" : isNew && letGo ? "new" : "same",
    before: before.map(({ pid, command }) => `${pid} ${command}`),
  };
}
