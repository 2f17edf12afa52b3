/**
 * The names of processes that help hupwatch and serve no client, as proc(5) has them (comm, cut after 15 bytes). One of these may have a
 * listener open, and never accepts from it.
 */
import { writeFileSync } from "node:fs";

export const TEE = "tee";
export const KEEPER = "hupwatch-keeper";
export const RELAY = "hupwatch-relay";

/** As ps(1) and pgrep(1) know this process (proc(5), comm). */
export function takeName(name: string): void {
  try {
    writeFileSync("/proc/self/comm", name);
  } catch {
    // A read-only /proc: it is found by its command line only.
  }
}
