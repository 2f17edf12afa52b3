/** What follows from a census: from which survivor the swap begins, and in which order the others are ended. Pure. */
import type { GroupMember } from "../sockets/held.ts";
import type { Census, Survivor } from "./census.ts";

export interface Choice {
  /** The one that clients reach; undefined where none is left that could answer them. */
  current: Survivor | undefined;
  /** Unfinished or retired ones, to be ended before the next swap. */
  others: Survivor[];
  /**
   * When the others are ended: `after` clients have been steered away from them. Or `before` anything is held, if the order of a SO_REUSEPORT
   * group is no longer known and nothing can be steered; the one that is then alone in its group needs no order.
   */
  endOthers: "before" | "after";
}

export function choose({ survivors }: Census): Choice {
  const able = survivors.filter(isAble);
  // Those that share a listener are all behind the public path.
  const reached = able.filter(({ isPublic }) => isPublic);
  const current =
    // I9: clients reach one that was not confirmed, and nothing is left that could confirm it.
    (able.some((g) => g.role === "unconfirmed") ? able.find((g) => g.role === "kept") : undefined) ??
    reached.find((g) => g.role === "serving") ??
    reached[0] ??
    able.find((g) => g.role === "serving") ??
    able.findLast((g) => g.role === "starting") ??
    able.at(-1);
  const others = survivors.filter((g) => g !== current);
  return { current, others, endOthers: current && knowsGroups(current, others) ? "after" : "before" };
}

/**
 * The leftover processes of a dead leader may be workers that still accept, or only the tee of a log. If a generation is not recorded,
 * only its listeners show that clients reach it.
 */
const isAble = ({ isRecorded, isLed, mayAccept }: Survivor): boolean => (isRecorded && isLed) || mayAccept;

/** The order of every SO_REUSEPORT group is still the recorded one: no member has gone, and none is missing in the record. */
function knowsGroups(current: Survivor, others: readonly Survivor[]): boolean {
  const all = [current, ...others];
  const isThere = (member: GroupMember) =>
    member === "idle" || all.some(({ sockets }) => sockets.has(member));
  return current.listeners.every(({ address, group }) => {
    // Of one that is not recorded no group is known, and the others may be in it.
    if (!group)
      return (
        current.isRecorded || others.every(({ listeners }) => listeners.every((l) => l.address !== address))
      );
    const isIn = (inode: number | undefined) => inode !== undefined && group.includes(inode);
    const isKnown = ({ listeners }: Survivor) =>
      listeners.length > 0 && listeners.every((l) => l.address !== address || isIn(l.inode));
    return group.every(isThere) && others.every(isKnown);
  });
}
