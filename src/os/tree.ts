/**
 * Which processes belong to a generation: its leader, the leader's descendants, its session, and every process that went off on its own
 * (setsid, double fork) but still has the marks in its environment. A look is cheap on a machine with thousands of others, of which only
 * new ones are read.
 */
import { readdirSync, readFileSync } from "node:fs";
import { Look, type Skip } from "./look.ts";
import { isOneOf, type Leader, type Process, processOf, withSpare } from "./procfs.ts";

export interface TreeQuery {
  leader: Leader;
  /** Lines that mark the environment of every process in the tree, e.g. `HUPWATCH_GENERATION=3`. All must be there. */
  marks: readonly string[];
  /** The users whose marks count, besides root. */
  uids: readonly number[];
  /** Never in a tree, nor anything above it. */
  self: number;
}

/** Every process of a generation; zombies are not counted: they run no more. Throws SystemError. */
export const treeOf = (query: TreeQuery, look: Look = new Look()): Process[] =>
  withSpare(() => lookForTree(query, look));

function lookForTree(query: TreeQuery, look: Look): Process[] {
  const strangers = strangersTo(query);
  const isStranger: Skip = (pid, inode) => strangers.get(pid) === inode;
  // A tree has nothing that is older than its leader.
  const listed = look.since(query.leader.startTime ?? 0, isStranger);
  const candidates = listed.map(({ process }) => process);
  const isBelow = belowOf(query.self, look);
  const members = membersAmong(query, candidates, look, isBelow);
  // While a program takes the place of another one (execve(2)), its environment is empty: that says nothing.
  const isSettled = ({ pid }: Process) => !isBelow(pid) && look.environmentOf(pid)[0] !== "";
  for (const { process, inode } of listed)
    if (!members.has(process.pid) && isSettled(process)) strangers.set(process.pid, inode);
  if (strangers.size > 2 * look.size) strangers.clear();
  return running(candidates, members, query);
}

const running = (
  candidates: readonly Process[],
  members: ReadonlySet<number>,
  { self }: TreeQuery,
): Process[] =>
  candidates.filter(({ pid, state }) => members.has(pid) && pid !== self && state !== "Z" && state !== "X");

/** Of each generation, by pid: the inode of a process that is not in its tree, and will not be. */
const strangersOf = new Map<string, Map<number, number>>();
/** As many generations are looked at in turn; more only have more to read. */
const REMEMBERED = 8;

/**
 * A process that is not in a tree does not get into it later: a parent is lost only to one above it (prctl(2), PR_SET_CHILD_SUBREAPER), a
 * session is changed only for one of its own (setsid(2)), and marks are inherited at the fork.
 */
function strangersTo({ leader, marks, uids }: TreeQuery): Map<number, number> {
  const key = [leader.pid, leader.startTime, ...marks, ...new Set(uids)].join(" ");
  const strangers = strangersOf.get(key) ?? new Map<number, number>();
  // The last one in the order was used last.
  strangersOf.delete(key);
  strangersOf.set(key, strangers);
  for (const [oldest] of strangersOf) if (strangersOf.size > REMEMBERED) strangersOf.delete(oldest);
  return strangers;
}

function membersAmong(
  { leader, marks, uids }: TreeQuery,
  candidates: readonly Process[],
  look: Look,
  isBelow: (pid: number) => boolean,
): Set<number> {
  const isLeader = (p: Process) => p.pid === leader.pid && p.startTime === leader.startTime;
  const isThere = candidates.some(isLeader);
  const isMarked = ({ pid }: Process) => {
    const environment = look.environmentOf(pid);
    return marks.every((mark) => environment.includes(mark));
  };
  // Any process can write the marks into its environment. They count only if the kernel's data confirm it: its parents lead to us, the
  // subreaper of everything that we start, or its user is trusted. The number of a session whose leader is gone may be a stranger's by now.
  const isVouchedFor = (p: Process) => isBelow(p.pid) || isOneOf(uids, p);
  const belongs = (p: Process) => {
    if (isLeader(p)) return true;
    if (leader.startTime !== undefined && p.startTime < leader.startTime) return false;
    const isInSession = p.session === leader.pid;
    if (isInSession && isThere) return true;
    return (isInSession || isMarked(p)) && isVouchedFor(p);
  };
  return withDescendants(candidates, belongs);
}

function withDescendants(all: readonly Process[], belongs: (p: Process) => boolean): Set<number> {
  const children = Map.groupBy(all, (p) => p.ppid);
  const members = new Set<number>();
  for (const pending = all.filter(belongs); ; ) {
    const next = pending.pop();
    if (!next) return members;
    if (members.has(next.pid)) continue;
    members.add(next.pid);
    pending.push(...(children.get(next.pid) ?? []));
  }
}

/** Whether the way up from a process leads to `top`. */
function belowOf(top: number, look: Look): (pid: number) => boolean {
  const known = new Map([
    [top, true],
    [0, false],
  ]);
  return (pid) => {
    const way: number[] = [];
    let step = pid;
    // Where parents change between two reads, the way could lead round in a circle.
    for (; !known.has(step); step = look.processOf(step)?.ppid ?? 0) {
      known.set(step, false);
      way.push(step);
    }
    const isBelow = known.get(step) === true;
    for (const one of way) known.set(one, isBelow);
    return isBelow;
  };
}

/**
 * As `treeOf`, by the children that the kernel lists of each process (proc_pid_task_children(5)): it costs what the tree costs, however
 * many processes the machine has. One that gets another parent meanwhile may be missing: for figures, not for decisions.
 */
export function glanceAtTree(query: TreeQuery): Process[] {
  const below = withSpare(() => descendantsOf(query.self));
  const isThere = below.some(
    ({ pid, startTime }) => pid === query.leader.pid && startTime === query.leader.startTime,
  );
  if (!isThere) return treeOf(query);
  return running(
    below,
    membersAmong(query, below, new Look(), () => true),
    query,
  );
}

/** None where the kernel has no such lists (CONFIG_PROC_CHILDREN). */
function descendantsOf(top: number): Process[] {
  const found = new Map<number, Process>();
  for (const pending = childrenOf(top) ?? []; ; ) {
    const pid = pending.pop();
    if (pid === undefined) return [...found.values()];
    const process = found.has(pid) ? undefined : processOf(pid);
    if (!process) continue;
    found.set(pid, process);
    pending.push(...(childrenOf(pid) ?? []));
  }
}

/** Each thread has a list of those that it has started. Undefined where the process has ended, or the kernel has none. */
export function childrenOf(pid: number): number[] | undefined {
  const lists = withoutError(() => readdirSync(`/proc/${pid}/task`))?.flatMap((tid) => {
    const list = withoutError(() => readFileSync(`/proc/${pid}/task/${tid}/children`, "latin1"));
    return list === undefined ? [] : [list];
  });
  return lists === undefined || lists.length === 0 ? undefined : lists.flatMap(numbersIn);
}

/** What is read of a process or a thread that ends meanwhile. */
function withoutError<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

const numbersIn = (text: string): number[] => text.split(" ").filter(Boolean).map(Number);
