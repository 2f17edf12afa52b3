/**
 * Which process of a tree is the server: the lowest one that has in its tree all processes that have bound an address, or the highest
 * process above it that runs the same program (a master whose workers bind by themselves). Processes above it are wrappers: npm, sh, timeout.
 */
import { readlinkSync } from "node:fs";
import { type Leader, type Process, processOf } from "./procfs.ts";

/** Undefined where none of those that have bound is below `leader` any more. */
export function serverBelow(leader: Leader, binders: Iterable<number>): Process | undefined {
  const ways = [...binders].flatMap((pid) => wayUp(pid, leader.pid) ?? []);
  const [first, ...others] = ways;
  // From the leader down: the last step that all ways have in common.
  let server = first?.findLast((step) => others.every((way) => way.some(({ pid }) => pid === step.pid)));
  for (let above = server; above && server && isSameProgram(above, server); ) {
    server = above;
    const parent = above.ppid;
    above = above.pid === leader.pid ? undefined : first?.find(({ pid }) => pid === parent);
  }
  return server;
}

/** From the leader down to the process; undefined where it is gone, or not below the leader. */
function wayUp(pid: number, leader: number): Process[][] | undefined {
  const way: Process[] = [];
  for (let step = processOf(pid); step && step.pid > 1; step = processOf(step.ppid)) {
    if (step.state === "Z") return undefined;
    way.unshift(step);
    if (step.pid === leader) return [way];
  }
  return undefined;
}

function isSameProgram(a: Process, b: Process): boolean {
  try {
    return readlinkSync(`/proc/${a.pid}/exe`) === readlinkSync(`/proc/${b.pid}/exe`);
  } catch {
    return a.command === b.command; // another user's, where we may not look
  }
}
