/**
 * A generation's pid file after its server was killed. A later generation of that number would end at once where the pid in it
 * is a stranger's by now: gunicorn asks no more than whether anybody has it (gunicorn/pidfile.py, validate).
 */
import { lstatSync, readFileSync, unlinkSync } from "node:fs";
import { environmentOf, processOf } from "../os/procfs.ts";

/** Removes it unless somebody lives by it, or might; never fails: what is in the way the server itself says better. */
export function removeStalePidfile(path: string, generation: number): void {
  // `.2` is what the second master writes that gunicorn starts at USR2 (gunicorn/arbiter.py, start).
  for (const name of [path, `${path}.2`]) {
    try {
      const pid = pidIn(name);
      if (pid !== undefined && !mayBe(pid, generation)) unlinkSync(name);
    } catch {
      // Not ours to read or to remove.
    }
  }
}

const MAX_BYTES = 32;

/** Undefined where it is anything but a file with a pid in it. */
function pidIn(path: string): number | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size > MAX_BYTES) return undefined;
  const [, pid] = /^\s*([1-9]\d*)\s*$/.exec(readFileSync(path, "latin1")) ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/** A process of that generation, of whichever hupwatch; also where its environment cannot be known. */
function mayBe(pid: number, generation: number): boolean {
  const process = processOf(pid);
  if (!process || process.state === "Z") return false;
  // gunicorn's title, where setproctitle is installed, is written over it, and the rest is zeros.
  const variables = environmentOf(pid).filter((entry) => entry.includes("="));
  if (variables.length === 0) return true;
  return (
    variables.includes(`HUPWATCH_GENERATION=${generation}`) &&
    variables.some((entry) => entry.startsWith("HUPWATCH_PID="))
  );
}
