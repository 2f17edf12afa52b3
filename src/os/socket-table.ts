/**
 * Every socket behind an address, from the kernel: what listens there and how many connections wait to be accepted, which
 * connections were accepted and how much in them is unread. Unix: a dump of sock_diag(7) (linux/unix_diag.h), which knows
 * the file that a socket was bound to, also after a rename. TCP: the same of linux/inet_diag.h, for /proc/net/tcp takes
 * 0.1 s where some ten thousand connections are in TIME_WAIT.
 */
import { statSync } from "node:fs";
import { close, openSockDiag, recv, SystemError, send } from "./libc.ts";

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
  return dump(unixQuestion(), unixRowOf)?.filter(
    (row) => (name !== undefined && row.name === name) || (file !== undefined && isBoundTo(row, file)),
  );
}

export interface UnixListener {
  inode: number;
  /** What it was bound to, which lasts through a rename; an abstract name begins with NUL. */
  name: string;
}

/** Undefined where the kernel does not say. */
export const unixListeners = (): UnixListener[] | undefined =>
  dump(unixQuestion(), unixRowOf)?.flatMap(({ listening, inode, name }) =>
    listening && name !== undefined ? [{ inode, name }] : [],
  );

interface UnixRow extends SocketRow {
  name: string | undefined;
  file: BoundFile | undefined;
}

// unix_diag gives 32 bits of the inode's number.
const isBoundTo = (row: UnixRow, { ino, dev }: BoundFile): boolean =>
  row.file !== undefined && row.file.ino === Number(BigInt.asUintN(32, BigInt(ino))) && row.file.dev === dev;

const SOCK_DIAG_BY_FAMILY = 20;
const NLMSG_DONE = 3;
const NLM_F_REQUEST_DUMP = 1 | 0x300;
const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
const IPPROTO_TCP = 6;
export const ESTABLISHED = 1;
const LISTEN = 10;
/** What is listed: listeners and connections. */
const STATES = (1 << ESTABLISHED) | (1 << LISTEN);
export const SHOW_NAME = 1;
const SHOW_VFS = 2;
const SHOW_RQLEN = 0x10;
const NAME = 0;
const VFS = 1;
const RQLEN = 4;
const HEADER_BYTES = 16;
const UNIX_MESSAGE_BYTES = 16;

/** Undefined where the kernel answers with an error. */
function dump<Row>(question: Uint8Array, rowOf: (message: DataView) => Row): Row[] | undefined {
  const rows: Row[] = [];
  const slices = dumpInSlices(question, (message) => rows.push(rowOf(message)));
  for (let slice = slices.next(); ; slice = slices.next())
    if (slice.done) return slice.value ? rows : undefined;
}

/**
 * Visits each row, some hundred at a time, and returns whether these were all: false where the kernel answers with an error. A
 * message is only good until the visit ends.
 */
export function* dumpInSlices(
  question: Uint8Array,
  visit: (message: DataView) => void,
): Generator<void, boolean> {
  try {
    const fd = openSockDiag();
    try {
      send(fd, question);
      return yield* readDump(fd, visit);
    } finally {
      close(fd);
    }
  } catch (error) {
    // A kernel without sock_diag, or a sandbox that forbids netlink: then it is not known.
    if (error instanceof SystemError) return false;
    throw error;
  }
}

function* readDump(fd: number, visit: (message: DataView) => void): Generator<void, boolean> {
  const buffer = new Uint8Array(64 * 1024);
  for (let length = recv(fd, buffer); length; length = recv(fd, buffer)) {
    const view = new DataView(buffer.buffer, 0, length);
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      if (type === NLMSG_DONE) return true;
      if (type !== SOCK_DIAG_BY_FAMILY || size < HEADER_BYTES + UNIX_MESSAGE_BYTES) return false;
      visit(new DataView(buffer.buffer, at + HEADER_BYTES, size - HEADER_BYTES));
      at += (size + 3) & ~3;
    }
    yield;
  }
  return true;
}

/** struct nlmsghdr of a message that is as long as its buffer. */
function header(view: DataView): void {
  view.setUint32(0, view.byteLength, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST_DUMP, true);
}

/** struct unix_diag_req. */
export function unixQuestion(states = STATES, show = SHOW_NAME | SHOW_VFS | SHOW_RQLEN): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 24));
  header(view);
  view.setUint8(16, AF_UNIX);
  view.setUint32(20, states, true);
  view.setUint32(28, show, true);
  return new Uint8Array(view.buffer);
}

/** struct unix_diag_msg and its attributes. */
export function unixRowOf(message: DataView): UnixRow {
  const row: UnixRow = {
    inode: message.getUint32(4, true),
    listening: message.getUint8(2) === LISTEN,
    waiting: 0,
    name: undefined,
    file: undefined,
  };
  for (let at = UNIX_MESSAGE_BYTES; at + 4 <= message.byteLength; ) {
    const length = message.getUint16(at, true);
    if (length < 4) break;
    const type = message.getUint16(at + 2, true);
    if (type === NAME) {
      const bytes = new Uint8Array(message.buffer, message.byteOffset + at + 4, length - 4);
      row.name = Buffer.from(bytes).toString();
    } else if (type === VFS)
      row.file = { ino: message.getUint32(at + 4, true), dev: message.getUint32(at + 8, true) };
    else if (type === RQLEN) row.waiting = message.getUint32(at + 4, true);
    at += (length + 3) & ~3;
  }
  // A path's name ends with the NUL of its C string, an abstract one begins with it.
  if (row.name !== undefined && !row.name.startsWith("\0")) row.name = row.name.replace(/\0+$/, "");
  return row;
}

/** The kernel's own number of a device, from stat(2)'s (makedev(3), linux/kdev_t.h). */
function kernelDevice(dev: number): number {
  const all = BigInt(dev);
  const major = ((all >> 8n) & 0xfffn) | ((all >> 32n) & ~0xfffn);
  const minor = (all & 0xffn) | ((all >> 12n) & ~0xffn & 0xffffffn);
  return Number(BigInt.asUintN(32, (major << 20n) | minor));
}

export interface TcpListener {
  inode: number;
  /** Of its local address, in network order. */
  host: Uint8Array;
  port: number;
  /** Connections that have not been accepted yet. */
  waiting: number;
}

/** Those of a port of IPv4 or of IPv6, all for port 0; undefined where the kernel does not say. */
export const tcpListeners = (family: "inet" | "inet6", port: number): TcpListener[] | undefined =>
  dump(tcpQuestion(family === "inet" ? AF_INET : AF_INET6, port, 1 << LISTEN), (message) => ({
    inode: message.getUint32(68, true),
    host: new Uint8Array(message.buffer.slice(message.byteOffset + 8)).subarray(
      0,
      family === "inet" ? 4 : 16,
    ),
    port: message.getUint16(4),
    waiting: message.getUint32(56, true),
  }));

/** struct inet_diag_req_v2 for one family: the kernel itself leaves out what has another local port. */
export function tcpQuestion(family: number, port: number, states = STATES): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 56));
  header(view);
  view.setUint8(16, family);
  view.setUint8(17, IPPROTO_TCP);
  view.setUint32(20, states, true);
  view.setUint16(24, port); // network order
  return new Uint8Array(view.buffer);
}

/** struct inet_diag_msg. */
const tcpRowOf = (message: DataView): SocketRow => ({
  inode: message.getUint32(68, true),
  listening: message.getUint8(1) === LISTEN,
  waiting: message.getUint32(56, true),
});

function tcpSockets(port: number): SocketRow[] | undefined {
  const [four, six] = [AF_INET, AF_INET6].map((family) => dump(tcpQuestion(family, port), tcpRowOf));
  // A kernel without IPv6 has no answer for it.
  return four && [...four, ...(six ?? [])];
}
