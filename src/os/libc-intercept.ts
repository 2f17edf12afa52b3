/**
 * The calls that only intercept/ needs, beside libc.ts and in its manner: seccomp(2) and its notifications
 * (seccomp_unotify(2)), descriptors over Unix sockets, posix_spawn(3), execve(2), and the rights of a caller. A file of its own, since binding
 * a function costs time at the start, and a hupwatch that intercepts nothing does not load it.
 */
import { dlopen, type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { constants } from "node:os";
import { type BpfInstruction, check, close, errno, libcName, programOf, SystemError } from "./libc.ts";

const C = dlopen(libcName(), {
  syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
  prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
  sendmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  recvmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  socketpair: { args: ["int", "int", "int", "ptr"], returns: "int" },
  accept4: { args: ["int", "ptr", "ptr", "int"], returns: "int" },
  socket: { args: ["int", "int", "int"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  fcntl: { args: ["int", "int", "int"], returns: "int" },
  poll: { args: ["ptr", "u64", "int"], returns: "int" },
  signalfd: { args: ["int", "ptr", "int"], returns: "int" },
  sigprocmask: { args: ["int", "ptr", "ptr"], returns: "int" },
  signal: { args: ["int", "ptr"], returns: "ptr" },
  read: { args: ["int", "ptr", "u64"], returns: "i64" },
  write: { args: ["int", "ptr", "u64"], returns: "i64" },
  memfd_create: { args: ["ptr", "u32"], returns: "int" },
  ftruncate: { args: ["int", "i64"], returns: "int" },
  mmap: { args: ["ptr", "u64", "int", "int", "int", "i64"], returns: "ptr" },
  getxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: "i64" },
  _exit: { args: ["int"], returns: "void" },
  listen: { args: ["int", "int"], returns: "int" },
  execve: { args: ["ptr", "ptr", "ptr"], returns: "int" },
  waitpid: { args: ["int", "ptr", "int"], returns: "int" },
  posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "int" },
  posix_spawnattr_init: { args: ["ptr"], returns: "int" },
  posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "int" },
  posix_spawnattr_setsigmask: { args: ["ptr", "ptr"], returns: "int" },
  posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "int" },
  posix_spawn_file_actions_init: { args: ["ptr"], returns: "int" },
  posix_spawn_file_actions_adddup2: { args: ["ptr", "int", "int"], returns: "int" },
  posix_spawn_file_actions_destroy: { args: ["ptr"], returns: "int" },
}).symbols;

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 8;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** SCM_MAX_FD of the kernel. */
export const MAX_DESCRIPTORS = 253;

/** A string as C has it. The caller keeps the buffer as long as the kernel may look at it. */
const cString = (text: string): Uint8Array => Buffer.from(`${text}\0`);

/** `char *[]` with its closing null, and the strings that must live as long. */
function cStrings(texts: readonly string[]): { pointers: BigUint64Array; kept: Uint8Array[] } {
  const kept = texts.map(cString);
  return { pointers: BigUint64Array.from([...kept.map((bytes) => BigInt(ptr(bytes))), 0n]), kept };
}

// --- seccomp(2) ---

const SYS_SECCOMP = process.arch === "arm64" ? 277 : 317;
const SECCOMP_SET_MODE_FILTER = 1;
const SPEC_ALLOW = 1 << 2;
const NEW_LISTENER = 1 << 3;
/** Linux 5.19: once received, only a deadly signal interrupts the caller. */
const WAIT_KILLABLE_RECV = 1 << 5;
const PR_SET_NO_NEW_PRIVS = 38;

/**
 * Installs a filter on this process, for good and for all that it starts, and returns the descriptor of its notifications.
 * With CAP_SYS_ADMIN as it is; else no_new_privs(2) is set first, as the kernel asks. Throws SystemError: EBUSY where a process above has
 * such a filter already, EINVAL before Linux 5.5, ENOSYS without seccomp.
 */
export function installFilter(program: readonly BpfInstruction[]): { fd: number; noNewPrivileges: boolean } {
  const fprog = programOf(program);
  const install = (flags: number) =>
    Number(C.syscall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, BigInt(ptr(fprog)) as never));
  const tryAll = (): number => {
    const fd = install(NEW_LISTENER | SPEC_ALLOW | WAIT_KILLABLE_RECV);
    return fd < 0 && errno() === "EINVAL" ? install(NEW_LISTENER | SPEC_ALLOW) : fd;
  };
  let fd = tryAll();
  const refused = fd < 0 && errno() === "EACCES";
  if (refused) {
    check("prctl(PR_SET_NO_NEW_PRIVS)", C.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n));
    fd = tryAll();
  }
  return { fd: check("seccomp", fd), noNewPrivileges: refused };
}

const NOTIF_RECV = 0xc0502100n;
const NOTIF_SEND = 0xc0182101n;
const NOTIF_ID_VALID = 0x40082102n;
const NOTIF_ADDFD = 0x40182103n;
const ADDFD_SETFD = 1;
const SEND_CONTINUE = 1;
/** struct seccomp_notif */
export const NOTIFICATION_BYTES = 80;

/**
 * Takes the next notification into `memory`. False where there is none after all: its caller died or was interrupted. Does not wait
 * where poll(2) said POLLIN.
 */
export function receiveNotification(fd: number, memory: Uint8Array): boolean {
  memory.fill(0); // the kernel refuses anything else (EINVAL)
  if (C.ioctl(fd, NOTIF_RECV, ptr(memory)) === 0) return true;
  const name = errno();
  if (name === "ENOENT" || name === "EINTR" || name === "EAGAIN") return false;
  throw new SystemError("ioctl(SECCOMP_IOCTL_NOTIF_RECV)", name);
}

/** The caller still waits for this answer: what was read of its pid was read of the right process. */
export function isNotificationValid(fd: number, id: bigint): boolean {
  const value = new BigUint64Array([id]);
  return C.ioctl(fd, NOTIF_ID_VALID, ptr(value)) === 0;
}

/** struct seccomp_notif_resp; one for all, since a service may make many calls a second. */
const RESPONSE = new DataView(new ArrayBuffer(24));
const RESPONSE_AT = ptr(RESPONSE);

/** What a trapped call returns, or that it is carried out as it was made. */
export type Answer = "continue" | { value: number } | { errno: keyof typeof constants.errno };

/** False where no process waits for it any more, which is not an error. */
export function answerNotification(fd: number, id: bigint, answer: Answer): boolean {
  const isOn = answer === "continue";
  RESPONSE.setBigUint64(0, id, true);
  RESPONSE.setInt32(8, !isOn && "value" in answer ? answer.value : 0, true);
  RESPONSE.setInt32(16, !isOn && "errno" in answer ? -(constants.errno[answer.errno] ?? 5) : 0, true);
  RESPONSE.setUint32(20, isOn ? SEND_CONTINUE : 0, true);
  if (C.ioctl(fd, NOTIF_SEND, RESPONSE_AT) === 0) return true;
  const name = errno();
  if (name === "ENOENT" || name === "EINPROGRESS") return false;
  throw new SystemError("ioctl(SECCOMP_IOCTL_NOTIF_SEND)", name);
}

/** Puts our open file `fd` at `number` in the caller's table, in the place of what is there. Throws SystemError. */
export function placeDescriptor(
  notify: number,
  id: bigint,
  fd: number,
  number: number,
  cloexec: boolean,
): void {
  const request = new DataView(new ArrayBuffer(24));
  request.setBigUint64(0, id, true);
  request.setUint32(8, ADDFD_SETFD, true);
  request.setUint32(12, fd, true);
  request.setUint32(16, number, true);
  request.setUint32(20, cloexec ? CLOEXEC : 0, true);
  check("ioctl(SECCOMP_IOCTL_NOTIF_ADDFD)", C.ioctl(notify, NOTIF_ADDFD, ptr(request)));
}

/** Whether this kernel can place descriptors (Linux 5.9): of a call that is not made it says so in another way. */
export function canPlaceDescriptors(notify: number): boolean {
  const request = new DataView(new ArrayBuffer(24));
  C.ioctl(notify, NOTIF_ADDFD, ptr(request));
  return errno() === "ENOENT";
}

/** A call that is trapped, and fails: EBADF where its supervisor has let it go on. Throws SystemError of anything else. */
export function tryTrappedCall(): void {
  if (C.listen(-1, 0) === 0) return;
  const name = errno();
  if (name !== "EBADF") throw new SystemError("listen", name);
}

// --- descriptors over Unix sockets: unix(7), SCM_RIGHTS ---

/** Two connected sockets, close-on-exec; `packets` keep the boundaries of what is sent. */
export function socketPair(kind: "stream" | "packets"): [number, number] {
  const fds = new Int32Array(2);
  const type = kind === "stream" ? SOCK_STREAM : SOCK_SEQPACKET;
  check("socketpair", C.socketpair(AF_UNIX, type | CLOEXEC, 0, ptr(fds)));
  return [fds[0] as number, fds[1] as number];
}

/** An unconnected socket that keeps the boundaries of what is sent; close-on-exec. */
export const packetSocket = (): number => check("socket", C.socket(AF_UNIX, SOCK_SEQPACKET | CLOEXEC, 0));

/** accept4(2), close-on-exec. Throws SystemError. */
export const accept = (fd: number): number => check("accept4", C.accept4(fd, null, null, CLOEXEC));

/** SO_SNDBUF, as far as the kernel lets it: what one packet can carry (socket(7)). */
export function setSendBuffer(fd: number, bytes: number): void {
  const value = new Int32Array([bytes]);
  C.setsockopt(fd, SOL_SOCKET, 7, ptr(value), 4);
  C.setsockopt(fd, SOL_SOCKET, 32, ptr(value), 4); // SO_SNDBUFFORCE: for root
}

interface Message {
  header: Uint8Array;
  /** Everything the header points to. */
  kept: Uint8Array[];
  control: Uint8Array;
}

function message(bytes: Uint8Array, controlBytes: number): Message {
  // With a buffer of its own from the start: the runtime moves a small array when `.buffer` is asked of it.
  const control = new Uint8Array(new ArrayBuffer(controlBytes));
  const vector = new DataView(new ArrayBuffer(16));
  vector.setBigUint64(0, BigInt(ptr(bytes)), true);
  vector.setBigUint64(8, BigInt(bytes.length), true);
  const header = new DataView(new ArrayBuffer(56));
  header.setBigUint64(16, BigInt(ptr(vector)), true);
  header.setBigUint64(24, 1n, true);
  if (controlBytes > 0) {
    header.setBigUint64(32, BigInt(ptr(control)), true);
    header.setBigUint64(40, BigInt(controlBytes), true);
  }
  return { header: new Uint8Array(header.buffer), kept: [bytes, new Uint8Array(vector.buffer)], control };
}

/** One message with descriptors beside it. Waits where the peer's buffer is full. Throws SystemError. */
export function sendWithDescriptors(socket: number, bytes: Uint8Array, fds: readonly number[] = []): void {
  if (fds.length > MAX_DESCRIPTORS) throw new SystemError("sendmsg", "EINVAL");
  const length = 16 + 4 * fds.length;
  const sent = message(bytes, fds.length === 0 ? 0 : Math.ceil(length / 8) * 8);
  if (fds.length > 0) {
    const view = new DataView(sent.control.buffer);
    view.setBigUint64(0, BigInt(length), true);
    view.setInt32(8, SOL_SOCKET, true);
    view.setInt32(12, SCM_RIGHTS, true);
    for (const [i, fd] of fds.entries()) view.setInt32(16 + 4 * i, fd, true);
  }
  for (;;) {
    if (C.sendmsg(socket, ptr(sent.header), MSG_NOSIGNAL) >= 0) return;
    const name = errno();
    if (name !== "EINTR") throw new SystemError("sendmsg", name);
  }
}

export interface Received {
  /** Empty where the peer has closed. */
  bytes: Uint8Array;
  /** Ours to close; close-on-exec. */
  fds: number[];
}

/** Waits for one message of at most `maxBytes`. Throws SystemError; EMSGSIZE where descriptors were lost. */
export function receiveWithDescriptors(socket: number, maxBytes: number): Received {
  const buffer = new Uint8Array(maxBytes);
  const got = message(buffer, 16 + 4 * MAX_DESCRIPTORS + 4);
  let n: number;
  do n = Number(C.recvmsg(socket, ptr(got.header), MSG_CMSG_CLOEXEC));
  while (n < 0 && errno() === "EINTR");
  check("recvmsg", n);
  const header = new DataView(got.header.buffer);
  const control = new DataView(got.control.buffer, 0, Number(header.getBigUint64(40, true)));
  const fds: number[] = [];
  for (let at = 0; at + 16 <= control.byteLength; ) {
    const length = Number(control.getBigUint64(at, true));
    if (length < 16) break;
    if (control.getInt32(at + 8, true) === SOL_SOCKET && control.getInt32(at + 12, true) === SCM_RIGHTS)
      for (let i = at + 16; i + 4 <= at + length; i += 4) fds.push(control.getInt32(i, true));
    at += Math.ceil(length / 8) * 8;
  }
  if ((header.getInt32(48, true) & MSG_CTRUNC) !== 0) {
    for (const fd of fds) close(fd);
    throw new SystemError("recvmsg", "EMSGSIZE");
  }
  return { bytes: buffer.subarray(0, n), fds };
}

/** write(2) that waits: all of it. Throws SystemError. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0; ) {
    const n = Number(C.write(fd, ptr(rest), rest.length as never));
    if (n < 0 && errno() !== "EINTR") throw new SystemError("write", errno());
    if (n > 0) rest = rest.subarray(n);
  }
}

// --- waiting ---

export interface Polled {
  fd: number;
  readable: boolean;
  /** The peer has closed; of a notification's descriptor: no process has its filter any more. */
  ended: boolean;
}

/** poll(2) for reading; `timeoutMs` below 0 waits for ever. Those about which there is something to say; a signal is none. */
export function waitFor(fds: readonly number[], timeoutMs: number): Polled[] {
  const set = new DataView(new ArrayBuffer(8 * fds.length));
  for (const [i, fd] of fds.entries()) {
    set.setInt32(8 * i, fd, true);
    set.setInt16(8 * i + 4, 1, true);
  }
  const giveUpAt = performance.now() + timeoutMs;
  let leftMs = timeoutMs;
  while (C.poll(ptr(set), fds.length as never, leftMs) < 0) {
    const name = errno();
    if (name !== "EINTR") throw new SystemError("poll", name);
    if (timeoutMs >= 0) leftMs = Math.max(0, Math.ceil(giveUpAt - performance.now()));
  }
  return fds.flatMap((fd, i) => {
    const seen = set.getInt16(8 * i + 6, true);
    return seen === 0 ? [] : [{ fd, readable: (seen & 1) !== 0, ended: (seen & 0x38) !== 0 }];
  });
}

const SIGSET_BYTES = 128;

function signalSet(names: readonly (keyof typeof constants.signals)[]): Uint8Array {
  const set = new Uint8Array(SIGSET_BYTES);
  for (const name of names) {
    const bit = constants.signals[name] - 1;
    set[bit >> 3] = (set[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return set;
}

/** Readable when a child has ended. Only where SIGCHLD is blocked from the start on (startProgram), in all threads of the runtime. */
export const childEnds = (): number =>
  check("signalfd", C.signalfd(-1, ptr(signalSet(["SIGCHLD"])), CLOEXEC | 0o4000));

/** Reads what a signalfd has, so that it is readable only by what comes next. */
export function drainSignals(fd: number): void {
  const info = new Uint8Array(128);
  while (C.read(fd, ptr(info), 128n as never) > 0);
}

/** The next child that has ended, with its status as wait(2) has it; undefined where none has. */
export function takeEnded(): { pid: number; status: number } | undefined {
  const status = new Int32Array(1);
  const pid = C.waitpid(-1, ptr(status), 1);
  return pid > 0 ? { pid, status: status[0] ?? 0 } : undefined;
}

// --- starting programs ---

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/**
 * posix_spawn(3): `fds` become 0, 1, 2, ... of the program, which leads a session of its own and has no signal ignored, and none blocked but
 * these. Returns its pid. Throws SystemError.
 */
export function startProgram(
  words: readonly string[],
  env: readonly string[],
  fds: readonly number[],
  blocked: readonly (keyof typeof constants.signals)[] = [],
): number {
  const attributes = new Uint8Array(512);
  const actions = new Uint8Array(256);
  C.posix_spawnattr_init(ptr(attributes));
  C.posix_spawnattr_setflags(
    ptr(attributes),
    POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF,
  );
  C.posix_spawnattr_setsigmask(ptr(attributes), ptr(signalSet(blocked)));
  C.posix_spawnattr_setsigdefault(ptr(attributes), ptr(new Uint8Array(SIGSET_BYTES).fill(0xff, 0, 8)));
  C.posix_spawn_file_actions_init(ptr(actions));
  // Out of the way of the numbers that they are to have.
  const away = fds.map((fd) => check("fcntl(F_DUPFD_CLOEXEC)", C.fcntl(fd, 1030, fds.length + 3)));
  try {
    for (const [number, fd] of away.entries()) C.posix_spawn_file_actions_adddup2(ptr(actions), fd, number);
    const path = cString(words[0] ?? "");
    const argv = cStrings(words);
    const envp = cStrings(env);
    const pid = new Int32Array(1);
    const failed = C.posix_spawn(
      ...([
        ptr(pid),
        ptr(path),
        ptr(actions),
        ptr(attributes),
        ptr(argv.pointers),
        ptr(envp.pointers),
      ] as const),
    );
    if (failed !== 0) throw new SystemError("posix_spawn", nameOf(failed));
    return pid[0] as number;
  } finally {
    C.posix_spawn_file_actions_destroy(ptr(actions));
    for (const fd of away) close(fd);
  }
}

const nameOf = (number: number): string =>
  Object.entries(constants.errno).find(([, n]) => n === number)?.[0] ?? `E${number}`;

/** Replaces this process. Returns only to throw SystemError. What the runtime ignores for itself is as it was (SIGPIPE, SIGXFSZ). */
export function execute(path: string, argv: readonly string[], env: readonly string[]): never {
  const file = cString(path);
  const words = cStrings(argv);
  const variables = cStrings(env);
  C.signal(constants.signals.SIGPIPE, null);
  C.signal(25, null); // SIGXFSZ
  C.sigprocmask(2, ptr(new Uint8Array(SIGSET_BYTES)), null);
  C.execve(ptr(file), ptr(words.pointers), ptr(variables.pointers));
  throw new SystemError("execve", errno());
}

/** _exit(2): at once, with nothing of the runtime's. */
export function exitNow(code: number): never {
  C._exit(code);
  throw new SystemError("_exit", "EFAULT");
}

/** Clears or sets close-on-exec. */
export const setCloseOnExec = (fd: number, on: boolean): void =>
  void check("fcntl(F_SETFD)", C.fcntl(fd, 2, on ? 1 : 0));

/** A file without a name, e.g. for what is too long for a packet; it is read through /proc/self/fd. */
export const anonymousFile = (name: string): number =>
  check("memfd_create", C.memfd_create(ptr(cString(name)), 1));

/** `bytes` of a memfd_create(2), shared by all processes that have it. */
export function sharedMemory(fd: number, bytes: number): Uint8Array {
  check("ftruncate", C.ftruncate(fd, BigInt(bytes) as never));
  const at = C.mmap(null, BigInt(bytes) as never, 3, 1, fd, 0n as never);
  if (at === null || Number(at) === -1) throw new SystemError("mmap", errno());
  return new Uint8Array(toArrayBuffer(at as Pointer, 0, bytes));
}

// --- looking at a caller ---

/** What kind of socket another process's descriptor is, e.g. TCP, TCPv6, MPTCP, UDP, UNIX-STREAM; undefined where it is no socket. */
export function protocolOf(pid: number, fd: number): string | undefined {
  const value = new Uint8Array(32);
  const path = cString(`/proc/${pid}/fd/${fd}`);
  const n = Number(C.getxattr(ptr(path), ptr(cString("system.sockprotoname")), ptr(value), 32n as never));
  return n > 0 ? Buffer.from(value.subarray(0, n)).toString("latin1").replace(/\0.*$/s, "") : undefined;
}

/** setsockopt(2) by numbers, with the bytes that another process gave for it. Throws SystemError. */
export const setOption = (fd: number, level: number, option: number, value: Uint8Array): void =>
  void check("setsockopt", C.setsockopt(fd, level, option, ptr(value), value.length));

/** Whether descriptor flags of /proc/PID/fdinfo (octal) have these. */
export const FLAGS = { cloexec: CLOEXEC, nonblock: 0o4000 } as const;
