/**
 * The error if main.ts is started without its launcher, as in `bun src/main.ts explain -- x`: the runtime may have swallowed a leading
 * `--`, and the traps that launcher.sh avoids are open.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";

/** Beside main.ts in a clone, and beside main.cjs in the package. */
const LAUNCHERS = ["launcher.sh", "hupwatch"];

/** `script`: what the runtime was told to run. */
export function unlaunched(script: string): HupwatchError {
  const launcher = LAUNCHERS.map((name) => join(dirname(script), name)).find((path) => existsSync(path));
  return new HupwatchError(
    "main.unlaunched",
    `${script} must be started by its launcher: without it the runtime takes some words of the command line as its own`,
    {
      hint: `run ${launcher ?? "hupwatch"} with the same arguments`,
    },
  );
}
