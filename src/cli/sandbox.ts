/**
 * A filter of system calls may end a process that makes a forbidden one, by SIGSYS: SystemCallFilter= of systemd.exec(5) does, and
 * pidfd_getfd(2) is not in its @system-service. So if there is a filter, another program makes the call first.
 */
import { closeSync, openSync } from "node:fs";
import { type Aid, lacks } from "../os/aid.ts";
import { isFiltered } from "../os/filtered.ts";
import type { Os } from "../os/os.ts";

const DUPLICATES: Aid = {
  what: "duplicating a running generation's listener",
  loss: "it is taken over with another listener beside that one",
};

const tellLacking = (why: string) => lacks(DUPLICATES, why);

/** `isDeadly`: whether the call ended the program that tried it; called once, before the first descriptor is taken. `tell`: gets the reason if none is taken. */
export function inSandbox(os: Os, isDeadly: () => boolean, tell: (why: string) => void = tellLacking): Os {
  let mayTake: boolean | undefined;
  const look = () => {
    if (!isFiltered() || !isDeadly()) return true;
    tell("a filter of system calls kills a process that calls pidfd_getfd(2)");
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

/** Tried on a descriptor of our own: a filter refuses that, too, while ptrace's permissions only concern other processes. */
export function isTakingRefused(os: Os, isDeadly: () => boolean): boolean {
  const own = openSync("/dev/null", "r");
  try {
    const taken = inSandbox(os, isDeadly, () => {}).takeDescriptor(os.pid, own);
    if (taken !== undefined) closeSync(taken);
    return taken === undefined;
  } finally {
    closeSync(own);
  }
}
