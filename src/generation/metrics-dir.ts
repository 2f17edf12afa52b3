/** Makes and removes the directory of metrics that is a generation's own (plan/metrics.ts). */
import { chownSync, existsSync, mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { METRICS } from "../plan/metrics.ts";

/** Empty, and owned like the place that it is in, for servers that change their user. Throws HupwatchError. */
export function makeMetricsDirectory(path: string): void {
  try {
    const { uid, gid } = statSync(nearestExisting(dirname(path)));
    mkdirSync(path, { recursive: true });
    empty(path);
    if (process.getuid?.() === 0) chownSync(path, uid, gid);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HupwatchError("metrics.unwritable", `cannot make ${METRICS}, ${path}: ${why}`, {
      hint: "let hupwatch write to the directory that it is in, or choose another one",
      cause,
    });
  }
}

const nearestExisting = (path: string): string => (existsSync(path) ? path : nearestExisting(dirname(path)));

/** The generation's processes have all ended: nobody is left who could count on. */
export function removeMetricsDirectory(path: string): void {
  try {
    empty(path);
    rmdirSync(path);
  } catch {
    // Gone already, or somebody keeps something of his own there.
  }
}

/** Nothing but what prometheus_client writes, wherever a wrong value may lead. */
function empty(path: string): void {
  for (const name of readdirSync(path)) if (name.endsWith(".db")) unlinkSync(join(path, name));
}
