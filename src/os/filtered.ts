/** Whether a filter of system calls is on this process: what it forbids may end it, by SIGSYS. */
import { readFileSync } from "node:fs";

/** SECCOMP_MODE_FILTER, as proc(5) has it; a kernel without filters has no such line. */
export function isFiltered(): boolean {
  try {
    return /^Seccomp:\s+2$/m.test(readFileSync("/proc/self/status", "latin1"));
  } catch {
    return true;
  }
}
