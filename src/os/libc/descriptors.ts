/** Open files of whatever kind: what is ready, what is read and written, and copies of their descriptors. Nothing here waits. */
import { FFIType, ptr } from "bun:ffi";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { MSG_NOSIGNAL, SOCK } from "./numbers.ts";

const C = openLibc({
  close: { args: ["int"], returns: "int" },
  dup2: { args: ["int", "int"], returns: "int" },
  fcntl: { args: ["int", "int", "int"], returns: "int" },
  flock: { args: ["int", "int"], returns: "int" },
  ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
  isatty: { args: ["int"], returns: "int" },
  pipe2: { args: ["ptr", "int"], returns: "int" },
  poll: { args: ["ptr", "u64", "int"], returns: "int" },
  read: { args: ["int", "ptr", "u64"], returns: "i64" },
  recv: { args: ["int", "ptr", "u64", "int"], returns: FFIType.i64_fast },
  send: { args: ["int", "ptr", "u64", "int"], returns: FFIType.i64_fast },
  write: { args: ["int", "ptr", "u64"], returns: "i64" },
});

const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const F_SETPIPE_SZ = 1031;
const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
const POLLOUT = 4;
const LOCK_EX_NB = 2 | 4;

/** linux/sockios.h */
const SIOCOUTQ = 0x5411;

export function poll(fd: number, events: number): number {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, events, true);
  // It waits for nothing, and still gives EINTR where a signal (a child's end) is pending: poll(2), never restarted.
  while (C.poll(ptr(pollfd), 1, 0) < 0) {
    const name = errno();
    if (name !== "EINTR") throw new SystemError("poll", name);
  }
  return pollfd.getInt16(6, true);
}

/** For a listener: its accept queue is not empty. For a connection: bytes, EOF or an error wait. Never blocks. */
export const isReadable = (fd: number): boolean => (poll(fd, POLLIN) & POLLIN) !== 0;

/** A connect in progress has ended, well or badly (see socketError). */
export const isWritable = (fd: number): boolean => poll(fd, POLLOUT) !== 0;

/** write(2): the number of bytes taken, 0 where it would have to wait. Without O_NONBLOCK it waits. */
export function write(fd: number, bytes: Uint8Array): number {
  const n = Number(C.write(fd, ptr(bytes), bytes.length));
  if (n >= 0) return n;
  const name = errno();
  if (name === "EAGAIN" || name === "EINTR") return 0;
  throw new SystemError("write", name);
}

/** send(2) without SIGPIPE and without waiting: the number of bytes taken, 0 when the buffer is full. */
export function send(fd: number, bytes: Uint8Array): number {
  const n = Number(C.send(fd, ptr(bytes), bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT));
  if (n >= 0) return n;
  const name = errno();
  if (name === "EAGAIN") return 0;
  throw new SystemError("send", name);
}

/** recv(2) into `buffer`: the number of bytes, 0 at EOF, undefined when nothing is there yet. */
export function recv(fd: number, buffer: Uint8Array): number | undefined {
  const n = Number(C.recv(fd, ptr(buffer), buffer.length, 0));
  if (n >= 0) return n;
  const name = errno();
  if (name === "EAGAIN") return undefined;
  throw new SystemError("recv", name);
}

/** The same of what waits there, which stays for its reader; 0 also where nothing is there yet. Never waits. */
export function peek(fd: number, buffer: Uint8Array): number {
  return Math.max(0, Number(C.recv(fd, ptr(buffer), buffer.length, MSG_PEEK | MSG_DONTWAIT)));
}

/** pipe2(2), close-on-exec, with as large a buffer as an unprivileged user gets (pipe(7), 1 MiB). */
export function pipe(): { read: number; write: number } {
  const fds = new Int32Array(2);
  check("pipe2", C.pipe2(ptr(fds), SOCK.cloexec));
  const [read, write] = fds as unknown as [number, number];
  C.fcntl(read, F_SETPIPE_SZ, 1024 * 1024); // smaller where the user's pipes use up their share: still a pipe
  return { read, write };
}

/** read(2) of what a pipe holds by now: the number of bytes, 0 at EOF, undefined when nothing is there yet. */
export function readAvailable(fd: number, buffer: Uint8Array): number | undefined {
  if (poll(fd, POLLIN) === 0) return undefined;
  return check("read", C.read(fd, ptr(buffer), buffer.length));
}

/** SIOCOUTQ of unix(7): bytes that the peer of this Unix socket has not read. */
export function unreadByPeer(fd: number): number {
  const count = new Int32Array(1);
  check("ioctl(SIOCOUTQ)", C.ioctl(fd, SIOCOUTQ, ptr(count)));
  return count[0] ?? 0;
}

export const close = (fd: number): void => void check("close", C.close(fd));

/** A second descriptor of the same open file, close-on-exec, numbered 10 or higher (0-9 stay free for handover). */
export const dup = (fd: number): number => check("fcntl(F_DUPFD_CLOEXEC)", C.fcntl(fd, F_DUPFD_CLOEXEC, 10));

/** dup2(2): `target` becomes a copy of `fd`, which children inherit. */
export const dupOnto = (fd: number, target: number): void => void check("dup2", C.dup2(fd, target));

/** O_NONBLOCK of the open file, which all its duplicates share. */
export const isNonblocking = (fd: number): boolean =>
  (check("fcntl(F_GETFL)", C.fcntl(fd, F_GETFL, 0)) & SOCK.nonblocking) !== 0;

/** What a call does that would have to wait. */
export type Blocking = "blocking" | "nonblocking";

/** Sets or clears O_NONBLOCK on the open file, which all its duplicates share; returns what it was. */
export function setBlocking(fd: number, mode: Blocking): Blocking {
  const flags = check("fcntl(F_GETFL)", C.fcntl(fd, F_GETFL, 0));
  const was = (flags & SOCK.nonblocking) === 0 ? "blocking" : "nonblocking";
  if (was !== mode) check("fcntl(F_SETFL)", C.fcntl(fd, F_SETFL, flags ^ SOCK.nonblocking));
  return was;
}

/** flock(2), exclusive, without waiting: false where another process holds it. */
export function tryLock(fd: number): boolean {
  if (C.flock(fd, LOCK_EX_NB) === 0) return true;
  const name = errno();
  if (name === "EAGAIN") return false;
  throw new SystemError("flock", name);
}

/**
 * isatty(3). `process.stderr.isTTY` tells the same, loads the runtime's streams and net for it (8 of 60 ms of a start,
 * 3 MB) and makes the descriptor non-blocking, for every process that shares it.
 */
export const isTerminal = (fd: number): boolean => C.isatty(fd) === 1;
