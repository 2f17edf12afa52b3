/** Values that hold in part: neither is an error, so that is said. */
import { formatDuration } from "../duration.ts";

/** Age and memory lead to no two swaps within so long; doubled with each one that fails. */
export const RECYCLE_PAUSE_MS = 60_000;

export function ageNote(maxAgeMs: number | undefined): string | undefined {
  if (maxAgeMs === undefined || maxAgeMs >= RECYCLE_PAUSE_MS) return undefined;
  return `--max-age ${formatDuration(maxAgeMs)} is exact only for the first generation: later ones serve for ${formatDuration(RECYCLE_PAUSE_MS)}, the shortest time between two such swaps`;
}

/** `maxBacklog`: what the kernel allows (listen(2)). */
export function backlogNote(backlog: number, maxBacklog: number): string | undefined {
  if (backlog <= maxBacklog) return undefined;
  return `--backlog ${backlog}: the kernel reduces it to ${maxBacklog}; to get more: sysctl net.core.somaxconn=${backlog}`;
}
