/** A look at another process's sockets, and what is repeated on ours. */
import { ptr } from "bun:ffi";
import { check, cString, openLibc } from "./library.ts";
import { SOCK } from "./numbers.ts";

const C = openLibc({
  getxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: "i64" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
});

/** What kind of socket another process's descriptor is, e.g. TCP, TCPv6, MPTCP, UDP, UNIX-STREAM; undefined where it is not a socket. */
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
export const FLAGS = { cloexec: SOCK.cloexec, nonblock: SOCK.nonblocking } as const;
