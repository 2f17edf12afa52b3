/**
 * Addresses on which a generation listens by itself. A second copy cannot share such an address: its bind of a port fails (EADDRINUSE),
 * and a path it takes away from the first one by unlink(2).
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { HupwatchError } from "../error.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import type { Os } from "../os/os.ts";
import type { OwnListener } from "../os/own-listeners.ts";
import { isChosenPort } from "../os/own-listeners.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { format, fromHostBytes } from "../sockets/sockaddr.ts";
import type { Listeners } from "./listeners.ts";
import type { Processes } from "./processes.ts";

const OWN_ADDRESSES: Aid = {
  what: "reading where the command listens",
  loss: "addresses that hupwatch does not hold are not named",
};

export interface Unheld {
  /** As `--bind` has it. */
  address: string;
  pid: number;
}

/**
 * Where a generation listens besides the listeners that it was given, and where the next copy would, too: at a port that the kernel did not
 * choose, at a path in a directory that existed before the generation. Empty if that cannot be read: no step depends on it.
 */
export const unheldBy = (processes: Processes, listeners: Listeners, os: Os): Unheld[] =>
  orWithout(OWN_ADDRESSES, () => lookForUnheld(processes, listeners, os), []);

function lookForUnheld(processes: Processes, listeners: Listeners, os: Os): Unheld[] {
  // Its tee keeps the listeners of whole groups open.
  const given = new Set([...listeners.inodes, ...listeners.groupInodes]);
  const paths = new Set(listeners.privatePaths);
  const isGiven = ({ inode, at }: OwnListener) => given.has(inode) || ("name" in at && paths.has(at.name));
  const isWanted = ({ at }: OwnListener) =>
    "port" in at ? !isChosenPort(at.host, at.port) : isLasting(at.name, processes.seenAtMs);
  return os
    .listenersOf(processes.pids())
    .filter((listener) => !isGiven(listener) && isWanted(listener))
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
export function unswappable(
  unheld: readonly Unheld[],
  { handover, unintercepted }: Pick<RunPlan, "handover" | "unintercepted">,
): HupwatchError {
  const where = unheld.map(({ address, pid }) => `${address} (pid ${pid})`).join(", ");
  return new HupwatchError(
    "swap.unheld",
    `was not started: the serving one listens on ${where}, which hupwatch does not hold, so a second copy would fail to bind or take the address away`,
    {
      hint: `${wayOut(handover, unintercepted)}; with --handover none it is swapped all the same`,
    },
  );
}

function wayOut(handover: RunPlan["handover"], unintercepted: string | undefined): string {
  if (unintercepted !== undefined)
    return `hold it with --bind and let the command take it (LISTEN_FDS, {fd}, {socket}), since its own bind cannot be trapped here: ${unintercepted}`;
  if (handover === "intercept")
    return "if the log has no reason, 'hupwatch stop' and start it again: its bind was not trapped, and is from then on";
  return "start hupwatch with --handover intercept, which needs no change of the command";
}
