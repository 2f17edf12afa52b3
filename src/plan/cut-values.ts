/** Values that only hold in part. They are no errors, so there is a warning. */
import { formatDuration } from "../duration.ts";

/** The shortest time between two swaps that age or memory lead to; doubled by each one that fails. */
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
