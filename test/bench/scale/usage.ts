/** What a process has taken so far, by the kernel's own books. */
import { readdirSync, readFileSync } from "node:fs";

/** CPU of all its threads in milliseconds, to the microsecond (Documentation/scheduler/sched-stats); those that ended are not counted. */
export function cpuMsOf(pid: number): number {
  return msOf(readdirSync(`/proc/${pid}/task`).map((tid) => textOf(`/proc/${pid}/task/${tid}/schedstat`)));
}

/** By the schedstat of each thread. */
export const msOf = (schedstats: readonly string[]): number =>
  schedstats.reduce((sum, one) => sum + Number(one.split(" ")[0]), 0) / 1e6;

/** What `use` makes the process take. */
export async function cpuMsIn(pid: number, use: () => Promise<unknown>): Promise<number> {
  const before = cpuMsOf(pid);
  await use();
  return cpuMsOf(pid) - before;
}

/** In KB. `shared`: pages of the runtime's file, once for all on a machine. `pss`: each page divided by those that have it (proc(5)). */
export function memoryOf(pid: number): { privateKb: number; sharedKb: number; pssKb: number } {
  const text = textOf(`/proc/${pid}/smaps_rollup`);
  const sum = (kind: string) =>
    [...text.matchAll(new RegExp(`^${kind}_(?:Clean|Dirty):\\s+(\\d+)`, "gm"))].reduce(
      (kb, [, n]) => kb + Number(n),
      0,
    );
  const pssKb = Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  return { privateKb: sum("Private"), sharedKb: sum("Shared"), pssKb };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // it ended meanwhile
  }
}
