/** The kernel's tables of listening TCP sockets: sock_diag(7), else /proc/net/tcp and tcp6 (proc(5), net/ipv4/tcp_ipv4.c get_tcp4_sock). */
import { readFileSync } from "node:fs";
import { tcpListeners } from "./socket-table.ts";

export interface ListeningSocket {
  inode: number;
  /** Connections that wait in the accept queue. */
  queued: number;
  /** Tries to connect that found it full, since the socket was opened; absent where the kernel does not say. */
  dropped?: number | undefined;
}

/** The kernel's LISTEN state in hexadecimal. */
const TCP_LISTEN = "0A";

/**
 * Every socket that listens on exactly this address; `hostBytes` are its 4 or 16 bytes in network order. Undefined where the kernel does
 * not say.
 */
export function listeningOn(hostBytes: Uint8Array, port: number): ListeningSocket[] | undefined {
  const listeners = tcpListeners(hostBytes.length === 4 ? "inet" : "inet6", port);
  const there = listeners?.filter(({ host }) => host.every((byte, i) => byte === hostBytes[i]));
  return (
    there?.map(({ inode, waiting, dropped }) => ({ inode, queued: waiting, dropped })) ??
    listedOn(hostBytes, port)
  );
}

/** Where sock_diag(7) does not say: as slow as the machine has connections. */
function listedOn(hostBytes: Uint8Array, port: number): ListeningSocket[] | undefined {
  const table = tableOf(hostBytes.length === 4 ? "inet" : "inet6");
  return table === undefined ? undefined : listenersIn(table, localColumn(hostBytes, port));
}

/** Undefined where it is not to be seen: ProcSubset=pid of systemd.exec(5), or a kernel without that family. */
function tableOf(family: "inet" | "inet6"): string | undefined {
  try {
    return readFileSync(family === "inet" ? "/proc/net/tcp" : "/proc/net/tcp6", "latin1");
  } catch {
    return undefined;
  }
}

/** `local` as `localColumn` has it. */
export function listenersIn(table: string, local: string): ListeningSocket[] {
  return table
    .split("\n")
    .slice(1)
    .map((row) => row.trim().split(/\s+/))
    .filter((fields) => fields[1] === local && fields[3] === TCP_LISTEN)
    .map((fields) => ({
      inode: Number(fields[9]),
      queued: queuedIn(fields),
    }));
}

/** Connections that wait in the accept queue of the listener with this number, wherever it listens; 0 where the kernel does not say. */
export function tcpQueue(inode: number): number {
  for (const family of ["inet", "inet6"] as const) {
    const found = tcpListeners(family, 0)?.find((listener) => listener.inode === inode);
    if (found) return found.waiting;
    for (const row of tableOf(family)?.split("\n") ?? []) {
      const fields = row.trim().split(/\s+/);
      if (fields[9] === `${inode}` && fields[3] === TCP_LISTEN) return queuedIn(fields);
    }
  }
  return 0;
}

/** The fifth column is `tx_queue:rx_queue`; of a listener the second is its accept queue's length. */
const queuedIn = (fields: readonly string[]) => Number.parseInt(fields[4]?.split(":")[1] ?? "0", 16);

/** An address as the table's second column has it: `0100007F:1F90`. */
export const localColumn = (hostBytes: Uint8Array, port: number): string =>
  `${kernelHex(hostBytes)}:${port.toString(16).toUpperCase().padStart(4, "0")}`;

/** Each 32-bit word is printed as the machine holds it: little-endian on every machine Bun runs on. */
function kernelHex(bytes: Uint8Array): string {
  const words: string[] = [];
  for (let i = 0; i < bytes.length; i += 4)
    words.push(
      Buffer.from(bytes.subarray(i, i + 4))
        .reverse()
        .toString("hex"),
    );
  return words.join("").toUpperCase();
}
