/** Why calls cannot be answered here, by what the kernel said to it. */
import type { SystemError } from "../os/libc.ts";

const REFUSALS: Record<string, string> = {
  EBUSY:
    "a supervisor above hupwatch already traps its system calls, and the kernel allows only one to do so",
  ENOSYS: "this kernel does not have seccomp filters, or a container forbids them",
  EINVAL: "this kernel is older than Linux 5.9",
  EOPNOTSUPP: "this kernel is older than Linux 5.9",
  EPERM: "the seccomp profile of this container forbids it",
  EACCES: "the seccomp profile of this container forbids it",
};

export const describeRefusal = ({ syscall, errno, message }: SystemError): string =>
  syscall.startsWith("read(/proc")
    ? `the memory of other processes cannot be read: ${message}`
    : (REFUSALS[errno] ?? message);

/** It is the place that forbids it, and not the moment. */
export const isRefusal = ({ errno }: SystemError): boolean => errno in REFUSALS;
