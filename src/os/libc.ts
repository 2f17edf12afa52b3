/**
 * The user of bun:ffi (with libc-intercept.ts, for the room intercept/): thin, typed calls into libc for what the runtime does not offer: listeners that are
 * never accepted from, SO_REUSEPORT selectors, raw non-blocking connects, flock, subreaper, pidfd.
 * No policy here. Every call throws SystemError with the errno's name; EAGAIN is a result, not an error, where
 * waiting is normal. Numbers are those of Linux on x86-64, arm64 and riscv64 (asm-generic).
 */
import { CString, dlopen, type FFIFunction, type Pointer, ptr, read } from "bun:ffi";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { HupwatchError } from "../error.ts";

const AF = { unix: 1, inet: 2, inet6: 10 } as const;
const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const AI_PASSIVE = 1;
const SO = {
  reuseaddr: 2,
  error: 4,
  reuseport: 15,
  passcred: 16,
  peercred: 17,
  acceptconn: 30,
  attachReuseportCbpf: 51,
} as const;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const F_SETPIPE_SZ = 1031;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
const SCM_CREDENTIALS = 2;
const SHUT_RD = 0;
const POLLIN = 1;
const POLLOUT = 4;
const LOCK_EX_NB = 2 | 4;
/** linux/sockios.h */
const SIOCOUTQ = 0x5411;
const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const CLOCK_MONOTONIC = 1;
const SYS_GETDENTS64 = process.arch === "arm64" ? 61 : 217;
const O_DIRECTORY_CLOEXEC = (process.arch === "arm64" ? 0o40000 : 0o200000) | 0o2000000;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const SYS_LANDLOCK = { create: 444, addRule: 445, restrict: 446 } as const;
const LANDLOCK_CREATE_RULESET_VERSION = 1;
const LANDLOCK_RULE_PATH_BENEATH = 1;
const PR_SET_NO_NEW_PRIVS = 38;

export type Family = keyof typeof AF;

/** A failed system call: `errno` is the symbolic name, e.g. `EADDRINUSE`. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  constructor(
    readonly syscall: string,
    readonly errno: string,
  ) {
    super(`${syscall}: ${errno} (${strerror(errno)})`);
  }
}

const C = openLibc({
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  listen: { args: ["int", "int"], returns: "int" },
  connect: { args: ["int", "ptr", "u32"], returns: "int" },
  getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
  getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  fcntl: { args: ["int", "int", "int"], returns: "int" },
  ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
  dup2: { args: ["int", "int"], returns: "int" },
  pipe2: { args: ["ptr", "int"], returns: "int" },
  poll: { args: ["ptr", "u64", "int"], returns: "int" },
  read: { args: ["int", "ptr", "u64"], returns: "i64" },
  write: { args: ["int", "ptr", "u64"], returns: "i64" },
  send: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  recv: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  recvmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  shutdown: { args: ["int", "int"], returns: "int" },
  close: { args: ["int"], returns: "int" },
  flock: { args: ["int", "int"], returns: "int" },
  isatty: { args: ["int"], returns: "int" },
  prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  waitid: { args: ["int", "u32", "ptr", "int"], returns: "int" },
  waitpid: { args: ["int", "ptr", "int"], returns: "int" },
  open: { args: ["ptr", "int"], returns: "int" },
  readlink: { args: ["ptr", "ptr", "u64"], returns: "i64" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64"], returns: "i64" },
  clock_gettime: { args: ["int", "ptr"], returns: "int" },
  getaddrinfo: { args: ["ptr", "ptr", "ptr", "ptr"], returns: "int" },
  freeaddrinfo: { args: ["ptr"], returns: "void" },
  strerror: { args: ["int"], returns: "ptr" },
  __errno_location: { args: [], returns: "ptr" },
});

/** Throws HupwatchError where the runtime got no executable memory, without which it calls no library. */
function openLibc<const T extends Record<string, FFIFunction>>(functions: T) {
  try {
    return dlopen(libcName(), functions).symbols;
  } catch (cause) {
    if (!String(cause).includes("requires the JIT")) throw cause;
    throw noExecutableMemory(cause);
  }
}

/** prctl(2), PR_SET_MDWE, as MemoryDenyWriteExecute= of systemd.exec(5) sets it; or RLIMIT_AS of getrlimit(2). */
function noExecutableMemory(cause: unknown): HupwatchError {
  const limit = /^Max address space +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const [why, hint] =
    limit === undefined
      ? [
          "MemoryDenyWriteExecute= of its unit (or prctl PR_SET_MDWE) refuses it",
          "take MemoryDenyWriteExecute= out of the unit",
        ]
      : [
          `an address space limit of ${Math.floor(Number(limit) / 1024 ** 2)} MB (ulimit -v, LimitAS=, chpst -m) is too small`,
          "raise it to 800 MB or more; to bound memory that is in use take MemoryMax= or a container's limit",
        ];
  return new HupwatchError("runtime.no-executable-memory", `the runtime gets no executable memory: ${why}`, {
    hint,
    cause,
  });
}

/** The file of the C library that this machine has. */
export function libcName(): string {
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const musl = `/lib/libc.musl-${machine}.so.1`;
  return existsSync(musl) ? musl : "libc.so.6";
}

let errnoNames: Map<number, string> | undefined;

/** The errno of the call just made, by its name. */
export function errno(): string {
  const number = read.i32(C.__errno_location() as Pointer, 0);
  // EWOULDBLOCK is Linux's second name of EAGAIN; the callers know the first.
  errnoNames ??= new Map(
    Object.entries(constants.errno)
      .filter(([name]) => name !== "EWOULDBLOCK")
      .map(([name, n]) => [n, name]),
  );
  return errnoNames.get(number) ?? `E${number}`;
}

function strerror(name: string): string {
  const number = constants.errno[name as keyof typeof constants.errno];
  return number === undefined ? "unknown error" : new CString(C.strerror(number) as Pointer).toString();
}

/** The result of a call, or SystemError where it is negative. */
export function check(syscall: string, result: number | bigint): number {
  if (result < 0) throw new SystemError(syscall, errno());
  return Number(result);
}

/** socket(2): a stream socket, close-on-exec. */
export const socket = (family: Family, nonblocking: boolean): number =>
  check("socket", C.socket(AF[family], SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0));

/**
 * A non-blocking Unix datagram socket, bound to `path` with mode 0600, or to the abstract name behind an `@`. The kernel
 * notes with each datagram which process sent it (SO_PASSCRED), from the first one on.
 */
export function bindDatagram(path: string): number {
  const fd = check("socket", C.socket(AF.unix, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const isAbstract = path.startsWith("@");
  const address = new Uint8Array(2 + Buffer.byteLength(path) + (isAbstract ? 0 : 1));
  address[0] = AF.unix;
  address.set(Buffer.from(isAbstract ? path.replace("@", "\0") : path), 2);
  try {
    setFlag(fd, "passcred");
    bindPrivately(fd, address);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** bind(2) to a Unix path that has mode 0600 from its first moment. */
export function bindPrivately(fd: number, address: Uint8Array): void {
  const umask = process.umask(0o177);
  try {
    bind(fd, address);
  } finally {
    process.umask(umask);
  }
}

/** One datagram to a Unix address, without waiting. Throws where no process listens or the receiver is full. */
export function sendDatagram(address: Uint8Array, bytes: Uint8Array): void {
  const fd = check("socket", C.socket(AF.unix, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    check("connect", C.connect(fd, ptr(address), address.length));
    check("send", C.send(fd, ptr(bytes), bytes.length, MSG_NOSIGNAL));
  } finally {
    close(fd);
  }
}

/** A non-blocking netlink socket to the kernel's sock_diag(7); what is sent goes to the kernel. */
export const openSockDiag = (): number =>
  check("socket", C.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));

/** CLOCK_MONOTONIC in microseconds, as systemd compares it; the runtime's clocks start with the process. */
export function monotonicMicroseconds(): bigint {
  const time = new BigInt64Array(2);
  check("clock_gettime", C.clock_gettime(CLOCK_MONOTONIC, ptr(time)));
  const [seconds = 0n, nanoseconds = 0n] = time;
  return seconds * 1_000_000n + nanoseconds / 1000n;
}

export const bind = (fd: number, address: Uint8Array): void =>
  void check("bind", C.bind(fd, ptr(address), address.length));

export const listen = (fd: number, backlog: number): void => void check("listen", C.listen(fd, backlog));

/** connect(2) on a non-blocking socket. EAGAIN (full Unix backlog) and the rest are thrown. */
export function connect(fd: number, address: Uint8Array): "connected" | "in-progress" {
  if (C.connect(fd, ptr(address), address.length) === 0) return "connected";
  const name = errno();
  if (name === "EINPROGRESS") return "in-progress";
  throw new SystemError("connect", name);
}

/** getsockname(2): the raw sockaddr. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  check("getsockname", C.getsockname(fd, ptr(address), ptr(length)));
  return address.subarray(0, length[0]);
}

export function setFlag(fd: number, option: "reuseaddr" | "reuseport" | "passcred"): void {
  const on = new Int32Array([1]);
  check(`setsockopt(SO_${option.toUpperCase()})`, C.setsockopt(fd, SOL_SOCKET, SO[option], ptr(on), 4));
}

/** TCP_NODELAY; sockets that are accepted from a listener have it from there (tcp(7)). */
export function setNoDelay(fd: number): void {
  const on = new Int32Array([1]);
  check("setsockopt(TCP_NODELAY)", C.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ptr(on), 4));
}

/** IPV6_V6ONLY: its port stays free for a listener of IPv4 (ipv6(7)). Before bind. */
export function setIPv6Only(fd: number): void {
  const on = new Int32Array([1]);
  check("setsockopt(IPV6_V6ONLY)", C.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ptr(on), 4));
}

/**
 * The addresses that a server gets for a name, each as a sockaddr, in the order in which it would try them: getaddrinfo(3) with AI_PASSIVE,
 * which may ask a name server and waits for it. None where the name has none. The fields of struct addrinfo are those of netdb.h, LP64.
 */
export function addressesOf(host: string): Uint8Array[] {
  const hints = new Int32Array([AI_PASSIVE, 0, SOCK_STREAM, IPPROTO_TCP, 0, 0, 0, 0, 0, 0, 0, 0]);
  const first = new BigUint64Array(1);
  if (C.getaddrinfo(ptr(Buffer.from(`${host}\0`)), null, ptr(hints), ptr(first)) !== 0) return [];
  const found: Uint8Array[] = [];
  for (let at = Number(first[0]); at !== 0; at = read.ptr(at as Pointer, 40)) {
    const [length, address] = [read.u32(at as Pointer, 16), read.ptr(at as Pointer, 24) as Pointer];
    found.push(Uint8Array.from({ length }, (_, i) => read.u8(address, i)));
  }
  C.freeaddrinfo(Number(first[0]) as Pointer);
  return found;
}

export const isIPv6Only = (fd: number): boolean => getInt(fd, IPV6_V6ONLY, IPPROTO_IPV6) !== 0;

function getInt(fd: number, option: number, level = SOL_SOCKET): number {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  check("getsockopt", C.getsockopt(fd, level, option, ptr(value), ptr(length)));
  return value[0] ?? 0;
}

/** True while the description is in the listening state (SO_ACCEPTCONN): false after a shutdown(2) by any process. */
export const isListening = (fd: number): boolean => getInt(fd, SO.acceptconn) === 1;

/** The pending error of a connect in progress (SO_ERROR), as an errno name. */
export function socketError(fd: number): string | undefined {
  const number = getInt(fd, SO.error);
  if (number === 0) return undefined;
  return Object.entries(constants.errno).find(([, n]) => n === number)?.[0] ?? `E${number}`;
}

/** SO_PEERCRED of a connected Unix socket: for a client, the process that called listen(2). */
export function peerCredentials(fd: number): { pid: number; uid: number } {
  const value = new Int32Array(3);
  const length = new Uint32Array([12]);
  check("getsockopt(SO_PEERCRED)", C.getsockopt(fd, SOL_SOCKET, SO.peercred, ptr(value), ptr(length)));
  return { pid: value[0] ?? 0, uid: value[1] ?? 0 };
}

/** One classic-BPF instruction: [code, jump if true, jump if false, k] (struct sock_filter). */
export type BpfInstruction = readonly [code: number, jt: number, jf: number, k: number];

const FPROG_BYTES = 16;

/** struct sock_fprog, with the instructions that it points to behind it: one piece of memory, which lives as long as it is used. */
export function programOf(program: readonly BpfInstruction[]): DataView {
  const fprog = new DataView(new ArrayBuffer(FPROG_BYTES + 8 * program.length));
  fprog.setUint16(0, program.length, true);
  fprog.setBigUint64(8, BigInt(ptr(fprog) + FPROG_BYTES), true);
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    const at = FPROG_BYTES + 8 * i;
    fprog.setUint16(at, code, true);
    fprog.setUint8(at + 2, jt);
    fprog.setUint8(at + 3, jf);
    fprog.setUint32(at + 4, k >>> 0, true);
  }
  return fprog;
}

/** SO_ATTACH_REUSEPORT_CBPF (Linux 4.6): replaces the selector of the whole group `fd` is in. Unprivileged. */
export function attachReuseportSelector(fd: number, program: readonly BpfInstruction[]): void {
  const fprog = programOf(program);
  check(
    "setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
    C.setsockopt(fd, SOL_SOCKET, SO.attachReuseportCbpf, ptr(fprog), FPROG_BYTES),
  );
}

function poll(fd: number, events: number): number {
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

export interface Sender {
  /** 0 for a process of another pid namespace. */
  pid: number;
  /** Its real uid, unless it may name another one of its own (unix(7)). */
  uid: number;
}

export interface Datagram {
  bytes: Uint8Array;
  /** Undefined where the kernel does not say. */
  sender: Sender | undefined;
}

/** struct cmsghdr and struct ucred, aligned: no room is left for descriptors, which the kernel closes then. */
const CREDENTIALS_BYTES = 32;

/**
 * One datagram into `buffer`, and its sender (SCM_CREDENTIALS); undefined when none is there. Of one that is longer than
 * the buffer nothing is told: its last line could be half a one.
 */
export function recvDatagram(fd: number, buffer: Uint8Array): Datagram | undefined {
  const control = new DataView(new ArrayBuffer(CREDENTIALS_BYTES));
  const vector = new BigUint64Array([BigInt(ptr(buffer)), BigInt(buffer.length)]);
  const message = new DataView(new ArrayBuffer(56)); // struct msghdr
  message.setBigUint64(16, BigInt(ptr(vector)), true);
  message.setBigUint64(24, 1n, true);
  message.setBigUint64(32, BigInt(ptr(control)), true);
  message.setBigUint64(40, BigInt(CREDENTIALS_BYTES), true);
  const n = Number(C.recvmsg(fd, ptr(message), 0));
  if (n < 0) {
    const name = errno();
    if (name === "EAGAIN") return undefined;
    throw new SystemError("recvmsg", name);
  }
  const isWhole = (message.getInt32(48, true) & MSG_TRUNC) === 0;
  const isSaid = control.getInt32(8, true) === SOL_SOCKET && control.getInt32(12, true) === SCM_CREDENTIALS;
  const sender = isSaid ? { pid: control.getInt32(16, true), uid: control.getUint32(20, true) } : undefined;
  return { bytes: isWhole ? buffer.subarray(0, n) : buffer.subarray(0, 0), sender };
}

/** pipe2(2), close-on-exec, with as large a buffer as an unprivileged user gets (pipe(7), 1 MiB). */
export function pipe(): { read: number; write: number } {
  const fds = new Int32Array(2);
  check("pipe2", C.pipe2(ptr(fds), SOCK_CLOEXEC));
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

/** shutdown(2) of a listener, for all that have it open: from now on it refuses every connection. */
export const stopListening = (fd: number): void => void check("shutdown", C.shutdown(fd, SHUT_RD));

export const close = (fd: number): void => void check("close", C.close(fd));

/** A second descriptor of the same open file, close-on-exec, numbered 10 or higher (0-9 stay free for handover). */
export const dup = (fd: number): number => check("fcntl(F_DUPFD_CLOEXEC)", C.fcntl(fd, F_DUPFD_CLOEXEC, 10));

/** dup2(2): `target` becomes a copy of `fd`, which children inherit. */
export const dupOnto = (fd: number, target: number): void => void check("dup2", C.dup2(fd, target));

/** Sets or clears O_NONBLOCK on the open file, which all its duplicates share; returns what it was. */
export function setNonblocking(fd: number, on: boolean): boolean {
  const flags = check("fcntl(F_GETFL)", C.fcntl(fd, F_GETFL, 0));
  const was = (flags & SOCK_NONBLOCK) !== 0;
  if (was !== on) check("fcntl(F_SETFL)", C.fcntl(fd, F_SETFL, flags ^ SOCK_NONBLOCK));
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

/** Orphaned processes below this one become its children instead of init's (prctl(2), PR_SET_CHILD_SUBREAPER). */
export const becomeSubreaper = (): void =>
  void check("prctl", C.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n));

/** The pid of a child that has ended and was not waited for yet, without taking it; 0 where there is none. */
export function peekEndedChild(): number {
  const info = new DataView(new ArrayBuffer(128));
  if (C.waitid(P_ALL, 0, ptr(info), WEXITED | WNOHANG | WNOWAIT) < 0) {
    const name = errno();
    if (name === "ECHILD") return 0;
    throw new SystemError("waitid", name);
  }
  return info.getInt32(16, true);
}

/** Takes the status of one ended child by its pid. */
export const reap = (pid: number): void => void C.waitpid(pid, null, WNOHANG);

/** open(2) of a directory for `directoryEntries`. `path` ends with NUL. */
export const openDirectory = (path: Uint8Array): number =>
  check("open", C.open(ptr(path), O_DIRECTORY_CLOEXEC));

/** getdents64(2): the next entries of a directory as the kernel writes them; 0 bytes at the end. */
export const directoryEntries = (fd: number, buffer: Uint8Array): number =>
  check("getdents64", C.syscall(SYS_GETDENTS64, fd, ptr(buffer), buffer.length, 0));

/** readlink(2): the bytes written to `target`, 0 where there is no such link. `path` ends with NUL. */
export const linkInto = (path: Uint8Array, target: Uint8Array): number =>
  Math.max(0, Number(C.readlink(ptr(path), ptr(target), target.length)));

/** pidfd_open(2), Linux 5.3. */
export const pidfdOpen = (pid: number): number =>
  check("pidfd_open", C.syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0));

/** pidfd_getfd(2), Linux 5.6: a duplicate of another process's descriptor; needs ptrace permission over it. */
export const pidfdGetfd = (pidfd: number, fd: number): number =>
  check("pidfd_getfd", C.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0, 0));

/** landlock(7): write to a file (bit 1), remove (4, 5) and make (6 to 12) anything; truncate (14) from the third version on. */
const WRITE_FILE = 1n << 1n;
const TRUNCATE = 1n << 14n;
const WRITES = WRITE_FILE | (0x1ffn << 4n);
const O_PATH_CLOEXEC = 0o10000000 | 0o2000000;

/**
 * From now on this process and all that it starts can write to no file and make or remove none, but for these; what is open stays
 * open. False where the kernel has no Landlock (before 5.13, or left out). There is no way back. Mode, owner and times of a file are
 * not in its power.
 */
export function forbidWrites(except: readonly string[]): boolean {
  const version = C.syscall(SYS_LANDLOCK.create, 0, 0, LANDLOCK_CREATE_RULESET_VERSION, 0);
  if (version < 1n) return false;
  const handled = version >= 3n ? WRITES | TRUNCATE : WRITES;
  const ruleset = Number(C.syscall(SYS_LANDLOCK.create, ptr(new BigUint64Array([handled])), 8, 0, 0));
  if (ruleset < 0) return false;
  try {
    for (const path of except) allowWrites(ruleset, path, handled & (WRITE_FILE | TRUNCATE));
    return (
      C.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) === 0 &&
      C.syscall(SYS_LANDLOCK.restrict, ruleset, 0, 0, 0) === 0n
    );
  } finally {
    close(ruleset);
  }
}

/** struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of descriptor. */
function allowWrites(ruleset: number, path: string, rights: bigint): void {
  if (!existsSync(path)) return;
  const fd = openSync(path, O_PATH_CLOEXEC);
  const rule = new DataView(new ArrayBuffer(12));
  rule.setBigUint64(0, rights, true);
  rule.setInt32(8, fd, true);
  C.syscall(SYS_LANDLOCK.addRule, ruleset, LANDLOCK_RULE_PATH_BENEATH, ptr(new Uint8Array(rule.buffer)), 0);
  closeSync(fd);
}

const ARM = process.arch === "arm64";
const SYS_SETFSUID = ARM ? 151 : 122;
const SYS_SETFSGID = ARM ? 152 : 123;
const SYS_SETGROUPS = ARM ? 159 : 116;

export interface FileIdentity {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/**
 * The rights of this thread over files and /proc are those of another user until `use` is over (setfsuid(2); the raw calls
 * change one thread). Nothing happens where they are ours already, or where we are not root.
 */
export function withIdentity<T>(identity: FileIdentity, own: FileIdentity, use: () => T): T {
  if (own.uid !== 0 || (identity.uid === own.uid && identity.gid === own.gid)) return use();
  setIdentity(identity);
  try {
    return use();
  } finally {
    setIdentity(own);
  }
}

function setIdentity({ uid, gid, groups }: FileIdentity): void {
  const list = Uint32Array.from(groups);
  // Groups first on the way down and last on the way up: only root may set them, and fsuid does not change that.
  C.syscall(SYS_SETGROUPS, list.length, list.length > 0 ? ptr(list) : 0, 0, 0);
  C.syscall(SYS_SETFSGID, gid, 0, 0, 0);
  C.syscall(SYS_SETFSUID, uid, 0, 0, 0);
}

const SYS_FACCESSAT2 = 439;
const AT_FDCWD = -100;
const AT_EACCESS = 0x200;
const X_OK = 1;

/** Whether this thread, with the rights that it has at this moment, may execute it; undefined before Linux 5.8. access(2) asks for the real user. */
export function mayExecute(path: string): boolean | undefined {
  const name = Buffer.from(`${path}\0`);
  if (C.syscall(SYS_FACCESSAT2, AT_FDCWD, ptr(name), X_OK, AT_EACCESS) === 0n) return true;
  return errno() === "ENOSYS" ? undefined : false;
}
