/** Processes that were not started by the runtime: adopted children, descriptors of other processes; and the clock that they share. */
import { ptr } from "bun:ffi";
import { check, errno, openLibc, SystemError } from "./library.ts";

const C = openLibc({
  clock_gettime: { args: ["int", "ptr"], returns: "int" },
  prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64"], returns: "i64" },
  waitid: { args: ["int", "u32", "ptr", "int"], returns: "int" },
  waitpid: { args: ["int", "ptr", "int"], returns: "int" },
});

const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const CLOCK_MONOTONIC = 1;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;

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

/** Takes the status of one ended child by its pid; false where it has not ended. */
export const reap = (pid: number): boolean => C.waitpid(pid, null, WNOHANG) !== 0;

/** pidfd_open(2), Linux 5.3. */
export const pidfdOpen = (pid: number): number =>
  check("pidfd_open", C.syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0));

/** pidfd_getfd(2), Linux 5.6: a duplicate of another process's descriptor; needs ptrace permission over it. */
export const pidfdGetfd = (pidfd: number, fd: number): number =>
  check("pidfd_getfd", C.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0, 0));

/** CLOCK_MONOTONIC in microseconds, as systemd compares it; the runtime's clocks start with the process. */
export function monotonicMicroseconds(): bigint {
  const time = new BigInt64Array(2);
  check("clock_gettime", C.clock_gettime(CLOCK_MONOTONIC, ptr(time)));
  const [seconds = 0n, nanoseconds = 0n] = time;
  return seconds * 1_000_000n + nanoseconds / 1000n;
}
