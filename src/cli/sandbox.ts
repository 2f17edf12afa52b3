/**
 * Where a filter of system calls says so, a forbidden one ends the process that makes it, by SIGSYS: SystemCallFilter= of
 * systemd.exec(5) does, and pidfd_getfd(2) is not in its @system-service. So where there is a filter, a program that has nothing to lose
 * makes the call first.
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

/** `isDeadly`: whether the program that takes a descriptor was ended by it; asked once, when the first one is wanted. `tell`: why none is taken. */
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

/** Tried on one of our own: a filter refuses it there, too, and only of others' ptrace(2) has a word to say. */
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
