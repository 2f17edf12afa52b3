/**
 * What /proc says of another process: identity (pid and start time), parent, session, users, environment. proc(5). A
 * process can write anything into its environment and its name; its parents, its session and its user come from the kernel.
 */
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

/** A pid may belong to another process later; with its start time it identifies one process for ever. */
export interface Identity {
  pid: number;
  /** Clock ticks since boot. */
  startTime: number;
}

/** The first process of several, by its pid; `startTime` is undefined where /proc could not be read when it began (EMFILE). */
export interface Leader {
  pid: number;
  startTime: number | undefined;
}

export interface Process extends Identity {
  ppid: number;
  session: number;
  /** One letter: R, S, D, Z ... */
  state: string;
  command: string;
}

/**
 * A spare descriptor that is closed for the length of a look: without one, a process that has no descriptor left could read nothing of the
 * others, and would think that they have ended.
 */
let spare: number | undefined = openSpare();

function openSpare(): number | undefined {
  try {
    return openSync("/proc", "r");
  } catch {
    return undefined; // the next look tries again
  }
}

export function withSpare<T>(look: () => T): T {
  if (spare !== undefined) closeSync(spare);
  try {
    return look();
  } finally {
    spare = openSpare();
  }
}

export function processOf(pid: number): Process | undefined {
  const stat = statOf(pid);
  if (!stat) return undefined;
  const { command, fields } = stat;
  return {
    pid,
    command,
    state: fields[0] ?? "?",
    ppid: Number(fields[1]),
    session: Number(fields[3]),
    startTime: Number(fields[19]),
  };
}

/** The fields from the third on. */
function statOf(pid: number): { command: string; fields: string[] } | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return undefined;
  }
}

/** Of these processes and of their children that have ended: CPU time in clock ticks, and whether one runs or waits for a disk. */
export function workOf(pids: readonly number[]): { ticks: number; isBusy: boolean } {
  const stats = pids.flatMap((pid) => statOf(pid) ?? []);
  const ticks = stats.map(({ fields }) => fields.slice(11, 15).reduce((sum, n) => sum + Number(n), 0));
  return {
    ticks: ticks.reduce((a, b) => a + b, 0),
    isBusy: stats.some(({ fields: [state = ""] }) => state === "R" || state === "D"),
  };
}

export function parseStat(text: string): { command: string; fields: string[] } {
  // The name may hold blanks and parentheses; its end is the last ')'.
  const end = text.lastIndexOf(")");
  return { command: text.slice(text.indexOf("(") + 1, end), fields: text.slice(end + 2).split(" ") };
}

/**
 * What became of a child since its vfork(2): another program; or a zombie that never was one, with its status as wait(2) has it; or
 * it is on its way to either, which takes microseconds of its own time.
 */
export function birthOf(pid: number): "executed" | "on its way" | { waitStatus: number } {
  const [child, own] = [statOf(pid), statOf(process.pid)];
  if (!child || child.command !== own?.command) return "executed";
  if (child.fields[0] === "Z") return { waitStatus: Number(child.fields[49]) };
  // Until its execve(2) it has our stack, and when it dies none; then one of its own, also where its name is ours.
  const [stack, ownStack] = [child.fields[25], own.fields[25]];
  return stack === "0" || stack === ownStack ? "on its way" : "executed";
}

/** Whether a signal finds a handler there, or is ignored or waited for; true where that cannot be known. */
export function expects(pid: number, signal: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const masks = [...status.matchAll(/^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]+)$/gm)].map(([, mask]) =>
      BigInt(`0x${mask}`),
    );
    return masks.length === 0 || masks.some((mask) => (mask >> BigInt(signal - 1)) & 1n);
  } catch {
    return true;
  }
}

/** Not where the start time is not known: whatever has its pid could be meant. */
export const isSame = (a: Leader): boolean =>
  a.startTime !== undefined && withSpare(() => processOf(a.pid)?.startTime === a.startTime);

/** Not even as a zombie: init may take its time. */
export function isRunning(a: Leader): boolean {
  const process = withSpare(() => processOf(a.pid));
  return process !== undefined && process.startTime === a.startTime && process.state !== "Z";
}

/**
 * The real uid; undefined where that very process is gone. Not the effective one: a program with the set-user-ID bit has its
 * owner's, and the environment of the user that started it.
 */
export function realUidOf(a: Leader): number | undefined {
  try {
    const [, uid] = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${a.pid}/status`, "latin1")) ?? [];
    const isThat = a.startTime !== undefined && processOf(a.pid)?.startTime === a.startTime;
    return isThat && uid !== undefined ? Number(uid) : undefined;
  } catch {
    return undefined;
  }
}

export function allProcesses(): Process[] {
  const found: Process[] = [];
  for (const name of readdirSync("/proc")) {
    const first = name.charCodeAt(0);
    if (first < 48 || first > 57) continue;
    const process = processOf(Number(name));
    if (process) found.push(process);
  }
  return found;
}

/** The lines `NAME=value` that a process was started with, or has written over them since; none where they are unreadable. */
export function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return [];
  }
}

/** The launcher's mark tells a hupwatch from a process that has its number by now. */
export const isHupwatch = (pid: number): boolean =>
  environmentOf(pid).some((line) => line.startsWith("HUPWATCH_LAUNCHER="));

/** Root could do anything anyway. */
export function isOneOf(uids: readonly number[], process: Identity): boolean {
  const uid = realUidOf(process);
  return uid !== undefined && (uid === 0 || uids.includes(uid));
}
