/**
 * A generation stays in the release that it was started in. Workers start late, or anew (max_requests, a crash), and while a
 * rolled back release is still what `current` points to they would import it among workers that run the one before.
 */
import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** As it is now; as it was written where it is not there: the start of the generation says what is wrong with it. */
export function physical(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return directory;
  }
}

/**
 * The command with its program reached without a symlinked directory: Python looks for its packages from there. The program's
 * own name stays, even as a symlink: it is how a virtualenv is known. What the system has linked in / (/bin, /lib) stays, too.
 */
export function pinned([program = "", ...words]: readonly string[], directory: string): string[] {
  if (!program.includes("/")) return [program, ...words];
  const asked = resolve(physical(directory), program);
  const top = join("/", asked.split("/")[1] ?? "");
  const viaTop = join(physical(top), asked.slice(top.length));
  const real = join(physical(dirname(asked)), basename(asked));
  return [real === asked || real === viaTop ? program : real, ...words];
}
