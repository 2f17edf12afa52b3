/** What processes take of the machine's memory (proc_pid_smaps_rollup(5)). */
import { readFileSync } from "node:fs";

/** Gone meanwhile, or none of its memory is left. */
const OVER = ["ENOENT", "ESRCH"];

/** PSS: each process counts its share of a shared page, so the sum over a tree is what the tree uses. Throws if that is forbidden. */
export function proportionalBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + pssOf(pid), 0);
}

function pssOf(pid: number): number {
  try {
    const [, kilobytes = "0"] =
      /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1")) ?? [];
    return Number(kilobytes) * 1024;
  } catch (error) {
    if (OVER.includes((error as NodeJS.ErrnoException).code ?? "")) return 0;
    throw error;
  }
}
