/**
 * Whether a process is about to accept from a listener, read in /proc: for a listener that several generations share, where an
 * answer does not tell which one gave it.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";

/**
 * Each way to wait for a connection leaves a trace: the listener stands in an epoll set (proc(5), fdinfo: `tfd:` and `ino:`), or a
 * thread is within accept(2), poll(2) or select(2) with it (/proc/PID/syscall). A server does so when its start-up is over.
 * False also where /proc does not tell.
 */
export function accepts(pids: readonly number[], listenerInode: number): boolean {
  return pids.some((pid) => {
    try {
      const own = descriptorsOf(pid, listenerInode);
      if (own.listeners.size === 0) return false;
      return own.epolls.some((fd) => watches(pid, fd, own.listeners)) || isWaiting(pid, own.listeners);
    } catch {
      return false; // ended meanwhile, or another user's
    }
  });
}

function descriptorsOf(pid: number, inode: number): { listeners: Set<number>; epolls: number[] } {
  const listeners = new Set<number>();
  const epolls: number[] = [];
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    const target = linkOf(`/proc/${pid}/fd/${name}`);
    if (target === `socket:[${inode}]`) listeners.add(Number(name));
    else if (target === "anon_inode:[eventpoll]") epolls.push(Number(name));
  }
  return { listeners, epolls };
}

/** Of a descriptor that was closed after it was listed there is none. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function watches(pid: number, epoll: number, listeners: ReadonlySet<number>): boolean {
  const text = readFileSync(`/proc/${pid}/fdinfo/${epoll}`, "latin1");
  return [...text.matchAll(/^tfd:\s+(\d+)/gm)].some(([, fd]) => listeners.has(Number(fd)));
}

/** The numbers of the calls, asm/unistd_64.h of x86-64 and asm-generic/unistd.h. */
const CALLS =
  process.arch === "arm64"
    ? { accept: [202, 242], poll: [73], select: [72] }
    : { accept: [43, 288], poll: [7, 271], select: [23, 270] };
/** struct pollfd. */
const POLLFD_BYTES = 8;
/** More descriptors than that in one call are not looked through. */
const DESCRIPTORS_MAX = 4096;

function isWaiting(pid: number, listeners: ReadonlySet<number>): boolean {
  return readdirSync(`/proc/${pid}/task`).some((tid) => {
    const [call, first = "0", second = "0"] = readFileSync(
      `/proc/${pid}/task/${tid}/syscall`,
      "latin1",
    ).split(" ");
    const number = Number(call);
    if (CALLS.accept.includes(number)) return listeners.has(Number(first));
    if (CALLS.poll.includes(number)) return polls(pid, Number(first), Number(second), listeners);
    if (CALLS.select.includes(number)) return selects(pid, Number(first), Number(second), listeners);
    return false;
  });
}

function polls(pid: number, address: number, count: number, listeners: ReadonlySet<number>): boolean {
  const entries = memoryOf(pid, address, Math.min(count, DESCRIPTORS_MAX) * POLLFD_BYTES);
  for (let at = 0; at + POLLFD_BYTES <= entries.byteLength; at += POLLFD_BYTES)
    if (listeners.has(entries.getInt32(at, true))) return true;
  return false;
}

/** The second argument of select(2) is the set of those that are waited for to become readable. */
function selects(pid: number, count: number, address: number, listeners: ReadonlySet<number>): boolean {
  if (address === 0) return false;
  const bits = memoryOf(pid, address, Math.ceil(Math.min(count, DESCRIPTORS_MAX) / 8));
  return [...listeners].some(
    (fd) => fd >> 3 < bits.byteLength && (bits.getUint8(fd >> 3) & (1 << (fd & 7))) !== 0,
  );
}

/** proc(5), /proc/PID/mem: needs the permission of ptrace(2). */
function memoryOf(pid: number, address: number, bytes: number): DataView {
  const buffer = new Uint8Array(bytes);
  const fd = openSync(`/proc/${pid}/mem`, "r");
  try {
    return new DataView(buffer.buffer, 0, readSync(fd, buffer, 0, bytes, address));
  } finally {
    closeSync(fd);
  }
}
