/** Starts the programs of this room with hupwatch's own runtime, which need nothing of the machine but that. */
import { openSync } from "node:fs";
import { orWithout } from "../os/aid.ts";
import { close, listen } from "../os/libc.ts";
import { packetSocket, socketPair, startProgram } from "../os/libc-intercept.ts";
import { bindAlone } from "../sockets/private-listener.ts";
import { OWN_ENVIRONMENT, ownProgram } from "./own-program.ts";
import { BLOCKED_SIGNALS } from "./protocol.ts";

/**
 * `door`: where it is found by the next hupwatch; `memory`: what the call in hand is received into. Returns our end of the
 * connection. Throws SystemError.
 */
export function startKeeper(door: string | undefined, memory: number): number {
  const [ours, theirs] = socketPair("packets");
  const listening = door === undefined ? undefined : openedOrWithout(door);
  try {
    using standard = descriptorsFor(["ignore", "ignore", 2]);
    const fds = [...standard.fds, theirs, memory, ...(listening === undefined ? [] : [listening])];
    const where = door === undefined || listening === undefined ? ["-", "-"] : ["5", door];
    const environment = [...OWN_ENVIRONMENT, ofThisHupwatch()];
    startProgram([...ownProgram("keep"), ...where, "3", "4"], environment, fds, BLOCKED_SIGNALS);
    return ours;
  } finally {
    for (const fd of [theirs, listening]) if (fd !== undefined) close(fd);
  }
}

/** So that it is not taken for a process that a generation has left behind. */
const ofThisHupwatch = () => `HUPWATCH_MASTER_PID=${process.pid}`;

/**
 * The relay of kept/, which is at work while requests are: with a compiler, where this hupwatch has the memory for one. It outlives
 * hupwatch, so it has nothing of its output: what reads that to its end does not wait for clients.
 */
export const relayProgram = () => ({
  words: ownProgram("relay"),
  env: [
    ...["BUN_JSC_useConcurrentGC=0", "BUN_JSC_numberOfGCMarkers=1"],
    ofThisHupwatch(),
    ...Object.entries(process.env).flatMap(([name, value]) =>
      name === "BUN_JSC_jitMemoryReservationSize" ? [`${name}=${value}`] : [],
    ),
  ],
  blocked: BLOCKED_SIGNALS,
  standard: () => descriptorsFor(["ignore", "ignore", "ignore"]),
});

/** "ignore" is /dev/null. */
export function descriptorsFor(standard: readonly (number | "ignore")[]): { fds: number[] } & Disposable {
  const nothing = openSync("/dev/null", "r+");
  return {
    fds: standard.map((fd) => (fd === "ignore" ? nothing : fd)),
    [Symbol.dispose]: () => close(nothing),
  };
}

/** A command can be intercepted without it: a full disk or a path that is too long for a socket ends no start. */
const openedOrWithout = (door: string): number | undefined =>
  orWithout(
    {
      what: `opening the keeper's socket ${door}`,
      loss: "a later hupwatch needs pidfd_getfd(2) to take the service over",
    },
    () => openDoor(door),
    undefined,
  );

/** In the run directory, if that is ours alone at this moment. */
function openDoor(path: string): number {
  const fd = packetSocket();
  try {
    bindAlone(fd, path);
    listen(fd, 4);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}
