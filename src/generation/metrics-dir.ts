/**
 * A directory of metrics for each generation: PROMETHEUS_MULTIPROC_DIR with `{gen}` in it. prometheus_client keeps a file there for
 * every process, wants the directory wiped before a start, and counts what dead processes have left: in one directory for all,
 * a new generation would wipe the counts of the serving one, or add up those of every release there ever was.
 * https://prometheus.github.io/client_python/multiprocess/
 */
import { chownSync, existsSync, mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";

export const METRICS = "PROMETHEUS_MULTIPROC_DIR";

/** Undefined where generations are to share one, or there is none. */
export function metricsDirectory(
  env: Readonly<Record<string, string>>,
  generation: number,
): string | undefined {
  const wanted = env[METRICS];
  return wanted?.includes("{gen}") ? wanted.replaceAll("{gen}", String(generation)) : undefined;
}

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

/** What to say of a directory that all generations share. */
export function metricsNote(env: Readonly<Record<string, string>>): string | undefined {
  const shared = env[METRICS];
  if (!shared || shared.includes("{gen}")) return undefined;
  return `generations share ${METRICS} ${shared}: who wipes it at a start takes the counts of the one that serves, and who does not adds up all releases; with ${join(shared, "{gen}")} each has a directory of its own, empty at its start and removed at its end`;
}
