/** What a later hupwatch has to know of a generation: written by the state file, and what `status` shows. */
import { lineOf } from "../os/marks.ts";
import type { Leader } from "../os/procfs.ts";
import type { TreeQuery } from "../os/tree.ts";
import type { GroupMember } from "../sockets/held.ts";

/**
 * `kept`: it has no clients now and can have them back. Beside an `unconfirmed` one, which has them, it is the one that remains unless
 * the other is confirmed.
 */
export type Role = "serving" | "starting" | "retiring" | "unconfirmed" | "kept";
export const ROLES: readonly Role[] = ["serving", "starting", "retiring", "unconfirmed", "kept"];

export interface RecordedListener {
  /** As `format` writes it: `unix:/path`, `127.0.0.1:8000`. */
  address: string;
  /** The socket's number in /proc/PID/fd, `socket:[inode]`; undefined where we never had its descriptor. */
  inode: number | undefined;
  /** All listeners of its SO_REUSEPORT group, in the kernel's order. */
  group?: readonly GroupMember[] | undefined;
  /** The generation's own name beside a Unix path. */
  privatePath?: string | undefined;
}

export type RecordedGeneration = StartedGeneration | AwaitedGeneration;

interface Recorded {
  number: number;
  /** The pid in its HUPWATCH_PID: that of the hupwatch that started it. */
  hupwatchPid: number;
  /** Of its leader, as last seen; 0.1.0 did not write it. */
  uid?: number | undefined;
  role: Role;
  /** Its stop sequence, as --stop-signal has it; 0.1.0 did not write it. */
  stop?: string | undefined;
  listeners: RecordedListener[];
}

/** Its leader is known. */
export interface StartedGeneration extends Recorded, Leader {}

/** It is about to be started: its processes are found only by their environment. */
export interface AwaitedGeneration extends Recorded {
  pid?: undefined;
  startTime?: undefined;
}

export const isStarted = (generation: RecordedGeneration): generation is StartedGeneration =>
  generation.pid !== undefined;

/** The generations that run, and what they hold. */
export interface Snapshot {
  /** The highest number given to a generation so far. */
  last: number;
  generations: RecordedGeneration[];
}

/** What the processes of a generation are found by. `uids`: users that they may have besides the leader's. */
export const treeQueryOf = (
  { pid, startTime, uid, number, hupwatchPid }: Leader & Pick<Recorded, "number" | "hupwatchPid" | "uid">,
  uids: readonly (number | undefined)[] = [],
): Omit<TreeQuery, "self"> => ({
  leader: { pid, startTime },
  marks: [lineOf("hupwatchPid", hupwatchPid), lineOf("generation", number)],
  uids: [...uids, uid].filter((one) => one !== undefined),
});
