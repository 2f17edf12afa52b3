/**
 * Addresses on which a generation listens by itself. Of such an address no second copy can have its share: on a port it is refused
 * (EADDRINUSE), and a path it unlinks from under the first one.
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { HupwatchError } from "../error.ts";
import type { OwnListener } from "../os/own-listeners.ts";
import { isChosenPort } from "../os/own-listeners.ts";
import { format, fromHostBytes } from "../sockets/sockaddr.ts";

export interface Unheld {
  /** As `--bind` has it. */
  address: string;
  pid: number;
}

/**
 * Those that the next copy would want, too: a port that the kernel did not choose, a path in a directory that was there before
 * the generation. `startedAtMs`: as the times of files are.
 */
export function unheldAmong(listeners: readonly OwnListener[], startedAtMs: number): Unheld[] {
  return listeners
    .filter(({ at }) => ("port" in at ? !isChosenPort(at.host, at.port) : isLasting(at.name, startedAtMs)))
    .map(({ pid, at }) => ({
      pid,
      address: "port" in at ? format(fromHostBytes(at.host, at.port)) : `unix:${at.name}`,
    }));
}

function isLasting(name: string, startedAtMs: number): boolean {
  // An abstract name is made up by a library more often than it is an address.
  if (name.startsWith("\0")) return false;
  try {
    return statSync(name).isSocket() && statSync(dirname(name)).birthtimeMs < startedAtMs;
  } catch {
    return false; // unlinked already, or a path of another root directory
  }
}

/** Why no second copy is started. */
export function unswappable(unheld: readonly Unheld[]): HupwatchError {
  const where = unheld.map(({ address, pid }) => `${address} (pid ${pid})`).join(", ");
  return new HupwatchError(
    "swap.unheld",
    `was not started: the serving one listens on ${where}, which hupwatch does not hold, so a second copy would be refused or take it away`,
    {
      hint: `start hupwatch with --handover intercept, which takes no change of the command; --handover none swaps it all the same`,
    },
  );
}
