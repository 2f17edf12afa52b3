/** How often a process wakes up while nothing happens. */
import { readdirSync, readFileSync } from "node:fs";

/**
 * The runtime's collector looks every second until the heap has been the same for half a minute, then every 30 s; its
 * allocator gives memory back meanwhile. Only then it can be seen what hupwatch itself does.
 */
export const CALM_MS = 45_000;
export const IDLE_MS = 10_000;

/** Voluntary context switches by thread: one that sleeps on and on makes none. proc_pid_status(5). */
export function switches(pid: number): Map<string, number> {
  return new Map(
    readdirSync(`/proc/${pid}/task`).map((task) => {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, "latin1");
      return [task, Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1])];
    }),
  );
}

/** A thread that is new has woken up as often as it says; one that ended is not counted. */
export const wakeUpsSince = (before: Map<string, number>, pid: number): number =>
  [...switches(pid)].reduce((sum, [task, count]) => sum + count - (before.get(task) ?? 0), 0);
