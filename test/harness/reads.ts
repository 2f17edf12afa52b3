/** How often this process reads a file, by the kernel's count: what a look costs, whatever else the machine does. */
import { readFileSync } from "node:fs";

/** proc_pid_io(5). */
const reads = (): number => Number(/^syscr: (\d+)/m.exec(readFileSync("/proc/self/io", "latin1"))?.[1]);

/** Calls of read(2) and its kin. */
export function readsIn(use: () => unknown): number {
  const before = reads();
  use();
  return reads() - before;
}
