/**
 * What the kernel knows of sockets, as other rooms ask for it: what listens at an address and how many connections wait there, which
 * connections were accepted and how much in them is unread. It uses sock_diag(7), which knows the file to which a Unix socket was bound, also
 * after a rename, and needs no whole table for one socket: /proc/net/tcp takes 0.1 s with ten thousand connections in TIME_WAIT.
 */
import { statSync } from "node:fs";
import {
  type Endpoint,
  endsOf,
  STATE,
  tcpSocket,
  type UnixSocket,
  unixSocket,
  visitTcp,
  visitUnix,
} from "./sockdiag.ts";

export type { Endpoint } from "./sockdiag.ts";

/**
 * A path; an abstract name, which begins with NUL; the file that a path once led to; or a TCP port, whatever the local address.
 */
export type Place = { path: string } | { file: BoundFile } | { port: number };

export interface SocketRow {
  /** 0 for a TCP connection that is not accepted yet. */
  inode: number;
  listening: boolean;
  /** Of a listener: connections that have not been accepted yet. Of a connection: bytes that have not been read yet. */
  waiting: number;
}

/** The server's side only. Empty where there is none; undefined where the kernel does not say. */
export function socketsAt(place: Place): SocketRow[] | undefined {
  if ("port" in place) return tcpSockets(place.port);
  return "file" in place ? unixSockets(undefined, place.file) : unixSockets(place.path, fileAt(place.path));
}

/** What names a bound file for ever, as long as it exists: a rename does not change it. */
export interface BoundFile {
  ino: number;
  dev: number;
}

/** Undefined where there is no such file. */
export function boundFileOf(path: string): BoundFile | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && { ino: stat.ino, dev: kernelDevice(stat.dev) };
}

const fileAt = (path: string) => (path.startsWith("\0") ? undefined : boundFileOf(path));

function unixSockets(name: string | undefined, file: BoundFile | undefined): SocketRow[] | undefined {
  return collect((keep: (row: SocketRow) => void) =>
    visitUnix(["listen", "established"], ["name", "file", "queue"], (socket) => {
      const isThere =
        (name !== undefined && socket.name === name) || (file !== undefined && isBoundTo(socket, file));
      const { inode, state, queue = 0 } = socket;
      if (isThere) keep({ inode, listening: state === STATE.listen, waiting: queue });
    }),
  );
}

// unix_diag gives 32 bits of the inode's number.
const isBoundTo = ({ file }: UnixSocket, { ino, dev }: BoundFile): boolean =>
  file !== undefined && file.ino === Number(BigInt.asUintN(32, BigInt(ino))) && file.dev === dev;

/** The kernel's own number of a device, from stat(2)'s (makedev(3), linux/kdev_t.h). */
function kernelDevice(dev: number): number {
  const all = BigInt(dev);
  const major = ((all >> 8n) & 0xfffn) | ((all >> 32n) & ~0xfffn);
  const minor = (all & 0xffn) | ((all >> 12n) & ~0xffn & 0xffffffn);
  return Number(BigInt.asUintN(32, (major << 20n) | minor));
}

export interface UnixListener {
  inode: number;
  /** What it was bound to, which lasts through a rename; an abstract name begins with NUL. */
  name: string;
}

/** Undefined where the kernel does not say. */
export const unixListeners = (): UnixListener[] | undefined =>
  collect((keep: (row: UnixListener) => void) =>
    visitUnix(["listen"], ["name"], ({ inode, name }) => name !== undefined && keep({ inode, name })),
  );

/** Connections that wait to be accepted, by the listener's inode; undefined where the kernel does not say. */
export const unixQueue = (inode: number): number | undefined => unixSocket(inode, "queue")?.queue;

/** By the inode of a connection: the other end has an owner, which it gets by accept(2). False where the kernel does not say. */
export const isUnixAccepted = (inode: number): boolean => (unixSocket(inode, "peer")?.peer ?? 0) !== 0;

/** The inode of the file that it is bound to, its lower 32 bits, by the socket's own; undefined where the kernel does not say. */
export const boundInode = (inode: number): number | undefined => unixSocket(inode, "file")?.file?.ino;

export interface TcpListener extends Endpoint {
  inode: number;
  /** Connections that have not been accepted yet. */
  waiting: number;
  /** Tries to connect that found the queue full, since it was opened; undefined where the kernel does not say. */
  dropped: number | undefined;
}

/** Those of a port of IPv4 or of IPv6, all for port 0; undefined where the kernel does not say. */
export const tcpListeners = (family: "inet" | "inet6", port: number): TcpListener[] | undefined =>
  collect((keep: (row: TcpListener) => void) =>
    visitTcp(family, port, ["listen"], ({ inode, waiting, dropped, local }) =>
      keep({ inode, waiting, dropped, ...local }),
    ),
  );

function tcpSockets(port: number): SocketRow[] | undefined {
  const [four, six] = (["inet", "inet6"] as const).map((family) =>
    collect((keep: (row: SocketRow) => void) =>
      visitTcp(family, port, ["listen", "established"], ({ inode, state, waiting }) =>
        keep({ inode, listening: state === STATE.listen, waiting }),
      ),
    ),
  );
  // A kernel without IPv6 has no answer for it.
  return four && [...four, ...(six ?? [])];
}

/**
 * The end of a TCP connection on this machine that has `local` as its own address: the bytes that its owner has not read, and
 * whether it has an owner at all, which it gets by accept(2). Undefined where there is no such connection, or the kernel does
 * not say.
 */
export function tcpEnd(
  local: Endpoint,
  remote: Endpoint,
): { isAccepted: boolean; unread: number } | undefined {
  const end = tcpSocket(local.host.length === 4 ? "inet" : "inet6", endsOf(local, remote));
  return end && { isAccepted: end.inode !== 0, unread: end.waiting };
}

/** All at once; undefined where the kernel answers with an error. */
function collect<Row>(visitAll: (keep: (row: Row) => void) => Generator<void, boolean>): Row[] | undefined {
  const rows: Row[] = [];
  const slices = visitAll((row) => void rows.push(row));
  for (let slice = slices.next(); ; slice = slices.next())
    if (slice.done) return slice.value ? rows : undefined;
}
