/**
 * A directory of metrics for each generation: PROMETHEUS_MULTIPROC_DIR with `{gen}` in it. prometheus_client keeps a file there for
 * every process, wants the directory wiped before a start, and counts what dead processes have left: in one directory for all,
 * a new generation would wipe the counts of the serving one, or add up those of every release there ever was.
 * https://prometheus.github.io/client_python/multiprocess/
 */
import { join } from "node:path";

export const METRICS = "PROMETHEUS_MULTIPROC_DIR";

/** Undefined where generations are to share one, or there is none. */
export function metricsDirectory(
  env: Readonly<Record<string, string>>,
  generation: number,
): string | undefined {
  const wanted = env[METRICS];
  return wanted?.includes("{gen}") ? wanted.replaceAll("{gen}", String(generation)) : undefined;
}

/** What to say of a directory that all generations share. */
export function metricsNote(env: Readonly<Record<string, string>>): string | undefined {
  const shared = env[METRICS];
  if (!shared || shared.includes("{gen}")) return undefined;
  return `generations share ${METRICS} ${shared}: a start that empties it deletes the counts of the serving generation, and a start that does not adds up all releases; with ${join(shared, "{gen}")} each has its own directory, empty at its start and removed at its end`;
}
