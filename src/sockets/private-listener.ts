/** A Unix listener in the run directory that only one generation has, so that an answer there proves who gave it. */
import { rmSync } from "node:fs";
import { bind, close, isReadable, listen, socket } from "../os/libc.ts";
import type { Listener } from "./held.ts";
import { Probe } from "./probe.ts";
import { encode } from "./sockaddr.ts";

/** Readiness checks come one by one. */
const BACKLOG = 16;

/** Throws SystemError. */
export function privateListener(path: string): Listener {
  const fd = socket("unix", false);
  try {
    bind(fd, encode({ family: "unix", path }));
    listen(fd, BACKLOG);
  } catch (error) {
    close(fd);
    throw error;
  }
  return {
    fd,
    privatePath: path,
    proof: true,
    hasQueued: () => isReadable(fd),
    connect: () => Probe.unix(path),
    [Symbol.dispose]: () => {
      close(fd);
      // Some servers unlink at their exit what they were handed (daphne).
      rmSync(path, { force: true });
    },
  };
}
