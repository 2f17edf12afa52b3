/**
 * The terminal that hupwatch was started from. When its window is closed the kernel hangs it up: every later read, write and
 * ioctl on its descriptors fails with EIO, for hupwatch and for each process that inherited them. So a server that prints a
 * line for each request fails each request.
 */
import { closeSync, openSync } from "node:fs";
import { dupOnto, isTerminal } from "./libc.ts";

export interface Terminal {
  /** It was hung up after the start, and `letGo` was not called since. */
  readonly isGone: boolean;
  /** Puts /dev/null in its place, for hupwatch and for what it starts from then on. */
  letGo(): void;
}

export function ownTerminal(): Terminal {
  let descriptors = [0, 1, 2].filter(isTerminal);
  return {
    get isGone() {
      return descriptors.some((fd) => !isTerminal(fd));
    },
    letGo() {
      const nowhere = openSync("/dev/null", "r+");
      for (const fd of descriptors) dupOnto(nowhere, fd);
      closeSync(nowhere);
      descriptors = [];
    },
  };
}
