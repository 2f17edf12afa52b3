/** What a swap may leave behind, read from /proc: processes, descriptors, memory, socket files. No judgement here. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { allProcesses, environmentOf, isSame, type Process, processOf } from "../os/procfs.ts";

const LOOK_AT_ONCE_MS = 2;
/** So much between: the load has most of this thread, and a machine that does nothing else is looked at in 50 ms. */
const REST_MS = 10;

/** What grows when something leaks; taken between swaps. */
export interface Sample {
  atMs: number;
  /** hupwatch's own. */
  rssKb: number;
  descriptors: number;
  /** hupwatch, the command, and all below them. */
  processes: number;
  treeRssKb: number;
  zombies: number;
  /** Sockets beside the public path, itself included; undefined for TCP. */
  socketFiles: number | undefined;
}

/** Undefined where the process is gone. */
export function sampleOf(pid: number, socketPath: string | undefined, atMs: number): Sample | undefined {
  if (!processOf(pid)) return undefined;
  const tree = treeBelow(pid);
  return {
    atMs,
    rssKb: rssKbOf(pid),
    descriptors: descriptorsOf(pid).length,
    processes: tree.length,
    treeRssKb: tree.reduce((sum, p) => sum + rssKbOf(p.pid), 0),
    zombies: tree.filter((p) => p.state === "Z").length,
    socketFiles: socketPath === undefined ? undefined : socketFilesAt(socketPath).length,
  };
}

/** By kind, e.g. `socket`, `/dev/null`; sorted. */
function descriptorsOf(pid: number): string[] {
  return entriesOf(`/proc/${pid}/fd`)
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, "")];
      } catch {
        return [];
      }
    })
    .sort();
}

/** The public path and its siblings: whatever in its directory is a socket and begins with its name. */
export function socketFilesAt(path: string): string[] {
  const directory = dirname(path);
  const name = basename(path);
  return entriesOf(directory)
    .filter((entry) => entry.includes(name))
    .filter((entry) => lstatSync(join(directory, entry), { throwIfNoEntry: false })?.isSocket())
    .sort();
}

/** Which of these sockets the process, or one below it, has open. */
export function heldBelow(pid: number, inodes: ReadonlySet<number>): Set<number> {
  const held = treeBelow(pid).flatMap((one) => socketsHeldBy(String(one.pid)));
  return new Set(held.filter((inode) => inodes.has(inode)));
}

/** The process and all its descendants, by what the kernel lists as children: a look at every process costs too much. */
function treeBelow(pid: number): Process[] {
  const tree: Process[] = [];
  const pids = [pid];
  for (let next = pids.pop(); next !== undefined; next = pids.pop()) {
    const process = processOf(next);
    if (!process) continue;
    tree.push(process);
    for (const task of entriesOf(`/proc/${next}/task`)) {
      const children = textOf(`/proc/${next}/task/${task}/children`);
      pids.push(...children.split(" ").filter(Boolean).map(Number));
    }
  }
  return tree;
}

/** Living processes whose environment has this line; zombies run no more. */
export const markedProcesses = (line: string): Process[] =>
  allProcesses().filter((p) => p.state !== "Z" && environmentOf(p.pid).includes(line));

export interface Holder extends Process {
  inodes: Set<number>;
}

/** Which processes have which of these sockets open, as far as they may be looked into. */
export async function holdersOf(inodes: ReadonlySet<number>): Promise<Holder[]> {
  const holders: Holder[] = [];
  if (inodes.size === 0) return holders;
  let restedMs = performance.now();
  for (const name of entriesOf("/proc").filter((entry) => /^\d+$/.test(entry))) {
    const held = socketsHeldBy(name).filter((inode) => inodes.has(inode));
    const process = held.length > 0 ? processOf(Number(name)) : undefined;
    if (process) holders.push({ ...process, inodes: new Set(held) });
    // The load is sent by this thread: a look at every process at once would be a stall of its own.
    if (performance.now() - restedMs < LOOK_AT_ONCE_MS) continue;
    await Bun.sleep(REST_MS);
    restedMs = performance.now();
  }
  return holders;
}

const socketsHeldBy = (pid: string): number[] =>
  entriesOf(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const link = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return link.startsWith("socket:[") ? [Number(link.slice(8, -1))] : [];
    } catch {
      return []; // closed meanwhile
    }
  });

/** Never a stranger that got the number since. */
export function signalProcess(target: Process, signal: NodeJS.Signals): void {
  if (!isSame(target)) return;
  try {
    process.kill(target.pid, signal);
  } catch {
    // It went between the two lines.
  }
}

const rssKbOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0);

function entriesOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
