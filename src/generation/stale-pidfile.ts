/**
 * A generation's pid file after its server was killed. A later generation with the same number would end at once if another process has
 * that pid by now: gunicorn only checks whether any process has it (gunicorn/pidfile.py, validate).
 */
import { unlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import { marksIn } from "../os/marks.ts";
import { Place, readSmall } from "../os/place.ts";
import { environmentOf, processOf } from "../os/procfs.ts";

/** Removes it unless its process lives, or might live. Never fails: the server's own error is more precise. */
export function removeStalePidfile(path: string, generation: number): void {
  // `.2` is what the second master writes that gunicorn starts at USR2 (gunicorn/arbiter.py, start).
  for (const name of [path, `${path}.2`]) {
    try {
      using place = Place.open(dirname(name));
      const file = place.at(basename(name));
      const pid = pidIn(file);
      if (pid !== undefined && !mayBe(pid, generation)) unlinkSync(file);
    } catch {
      // Not ours to read or to remove.
    }
  }
}

const MAX_BYTES = 32;

/** Undefined where there is no pid in it. Throws where it is not a file, or is a larger one. */
function pidIn(path: string): number | undefined {
  const [, pid] = /^\s*([1-9]\d*)\s*$/.exec(readSmall(path, MAX_BYTES) ?? "") ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/** A process of that generation, of any hupwatch; also true if its environment cannot be read. */
function mayBe(pid: number, generation: number): boolean {
  const process = processOf(pid);
  if (!process || process.state === "Z") return false;
  // gunicorn's title, where setproctitle is installed, is written over it, and the rest is zeros.
  const variables = environmentOf(pid).filter((entry) => entry.includes("="));
  if (variables.length === 0) return true;
  const marks = marksIn(variables);
  return marks.generation === generation && marks.hupwatchPid !== undefined;
}
