/**
 * A directory of metrics for each generation: PROMETHEUS_MULTIPROC_DIR with `{gen}` in it. prometheus_client keeps a file there for
 * every process, demands that the directory is emptied before a start, and counts the files of dead processes. With one directory for all
 * generations a start would delete the counts of the serving one, or add up those of all releases.
 * https://prometheus.github.io/client_python/multiprocess/
 */
import { join } from "node:path";

export const METRICS = "PROMETHEUS_MULTIPROC_DIR";

/** Undefined if the generations share one, or there is none. */
export function metricsDirectory(
  env: Readonly<Record<string, string>>,
  generation: number,
): string | undefined {
  const wanted = env[METRICS];
  return wanted?.includes("{gen}") ? wanted.replaceAll("{gen}", String(generation)) : undefined;
}

/** The warning if all generations share one directory. */
export function metricsNote(env: Readonly<Record<string, string>>): string | undefined {
  const shared = env[METRICS];
  if (!shared || shared.includes("{gen}")) return undefined;
  return `generations share ${METRICS} ${shared}: a start that empties it deletes the counts of the serving generation, and a start that does not adds up all releases; with ${join(shared, "{gen}")} each has its own directory, empty at its start and removed at its end`;
}
