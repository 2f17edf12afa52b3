/** Listeners of survivors, taken out of their processes (pidfd_getfd(2)). */
import { type StartedGeneration, treeQueryOf } from "../generation/record.ts";
import { close } from "../os/libc.ts";
import type { Os } from "../os/os.ts";
import type { GroupMember } from "../sockets/held.ts";

/** A duplicate of the socket with this number in /proc; undefined if the kernel forbids it (another user, or Yama's ptrace_scope). */
export function takeListener(survivor: StartedGeneration, inode: number, os: Os): number | undefined {
  for (const { pid } of os.tree(treeQueryOf(survivor))) {
    const fd = os.socketsOf(pid).get(String(inode));
    const taken = fd === undefined ? undefined : os.takeDescriptor(pid, fd);
    if (taken !== undefined) return taken;
  }
  return undefined;
}

/** All listeners of a group in its order, or none: a group with a gap has another order. */
export function takeGroup(
  group: readonly GroupMember[],
  take: (inode: number) => number | undefined,
): number[] {
  const taken = group.map((member) => (member === "idle" ? undefined : take(member)));
  if (taken.every((fd) => fd !== undefined)) return taken;
  for (const fd of taken) if (fd !== undefined) close(fd);
  return [];
}
