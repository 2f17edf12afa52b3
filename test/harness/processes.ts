/** What /proc says about processes. The tests' own reading of it: src/os/procfs.ts is under test. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

export interface ProcessEntry {
  pid: number;
  ppid: number;
  /** R, S, D, T, Z ... of proc_pid_stat(5). */
  state: string;
  /** In clock ticks since boot: with the pid it names one process for ever. */
  startTime: string;
  command: string;
  /** Of the user that it runs as. */
  uid: number;
}

/** Undefined where the process is gone, also when it goes while we look. */
export function readProcess(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may hold spaces and parentheses itself.
    const [state = "?", ppid = "0", ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
    const { uid } = statSync(`/proc/${pid}`);
    return {
      pid,
      ppid: Number(ppid),
      state,
      startTime: rest[17] ?? "",
      command: words.join(" ").trim(),
      uid,
    };
  } catch {
    return undefined;
  }
}

export function allProcesses(): ProcessEntry[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

/** These processes and all their descendants, each once, zombies too. Without those that are gone. */
export function processTree(...pids: number[]): ProcessEntry[] {
  const all = allProcesses();
  const tree = new Set(all.filter((entry) => pids.includes(entry.pid)));
  // A set is walked in the order of insertion, what is added on the way included.
  for (const parent of tree) for (const entry of all) if (entry.ppid === parent.pid) tree.add(entry);
  return [...tree];
}

/** Sorted. */
export const openDescriptorNumbers = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/fd`)
    .map(Number)
    .sort((a, b) => a - b);

/** What the descriptors of a process refer to, in the order of their numbers: `socket:[123]`, `/dev/null`. None where it is gone. */
export function openDescriptors(pid: number): string[] {
  try {
    return openDescriptorNumbers(pid).flatMap((descriptor) => targetOf(pid, descriptor) ?? []);
  } catch {
    return []; // it ended meanwhile
  }
}

function targetOf(pid: number, descriptor: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return undefined; // closed meanwhile
  }
}

/** What a process was started with, a line each; undefined where it is gone or not ours to read. */
export function environmentOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").replaceAll("\0", "\n");
  } catch {
    return undefined;
  }
}

/** Living processes that have `NAME=value` in the environment they were started with. */
export function processesWithEnv(name: string, value: string): ProcessEntry[] {
  const wanted = `${name}=${value}`;
  return allProcesses().filter(({ pid }) => environmentOf(pid)?.split("\n").includes(wanted));
}

/** Whether its number still means this process and not a later one. */
export const isSame = (entry: ProcessEntry) => readProcess(entry.pid)?.startTime === entry.startTime;

/** Ends exactly this process, never a stranger that got its number since. */
export function killEntry(entry: ProcessEntry, signal: NodeJS.Signals): void {
  if (!isSame(entry)) return;
  try {
    process.kill(entry.pid, signal);
  } catch {
    // It went by itself between the two lines.
  }
}
