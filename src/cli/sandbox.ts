/**
 * Where a filter of system calls says so, a forbidden one ends the process that makes it, by SIGSYS: SystemCallFilter= of
 * systemd.exec(5) does, and pidfd_getfd(2) is not in its @system-service. So where there is a filter, a program that has nothing to lose
 * makes the call first.
 */
import { type Aid, lacks } from "../os/aid.ts";
import { isFiltered } from "../os/filtered.ts";
import type { Os } from "../os/os.ts";

const DUPLICATES: Aid = {
  what: "a duplicate of a running generation's listener",
  loss: "it is taken over by a listener beside that one",
};

/** `isDeadly`: whether the program that takes a descriptor was ended by it; asked once, when the first one is wanted. */
export function inSandbox(os: Os, isDeadly: () => boolean): Os {
  let mayTake: boolean | undefined;
  const look = () => {
    if (!isFiltered() || !isDeadly()) return true;
    lacks(DUPLICATES, "a filter of system calls kills what calls pidfd_getfd(2)");
    return false;
  };
  return {
    ...os,
    takeDescriptor(pid, fd) {
      mayTake ??= look();
      return mayTake ? os.takeDescriptor(pid, fd) : undefined;
    },
  };
}
