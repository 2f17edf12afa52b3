/** A duplicate of another process' descriptor. */
import { close, pidfdGetfd, pidfdOpen } from "./libc.ts";

/** Ours to close; undefined where the process has ended or the kernel does not let us (pidfd_getfd(2), ptrace(2)). */
export function takeDescriptor(pid: number, fd: number): number | undefined {
  let pidfd: number | undefined;
  try {
    pidfd = pidfdOpen(pid);
    return pidfdGetfd(pidfd, fd);
  } catch {
    return undefined;
  } finally {
    if (pidfd !== undefined) close(pidfd);
  }
}
