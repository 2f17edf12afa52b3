/** What a keeper says of processes is its word: before one gets a signal of ours, the kernel has to say the same. */
import { readFileSync } from "node:fs";
import { processOf } from "../os/procfs.ts";

/** It runs our program of that name. False also of one that has ended; where it cannot be looked at, it is believed. */
export function isKeeper(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").includes("keep");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EMFILE";
  }
}

/** A keeper is its parent, or it has ended already. */
export function isKeepersChild(pid: number): boolean {
  const started = processOf(pid);
  return started === undefined || isKeeper(started.ppid);
}
