/** Durations as people write them: `90`, `1.5`, `200ms`, `5s`, `2m`, `1h`; a bare number is seconds. */
import { HupwatchError } from "./error.ts";

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
/** setTimeout's limit, 24.8 days. */
const MAX_MS = 2 ** 31 - 1;

/** Milliseconds. Throws a usage error that names `what` and the value. */
export function parseDuration(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)?$/.exec(text.trim());
  const ms = match ? Number(match[1]) * UNIT_MS[(match[2] ?? "s") as keyof typeof UNIT_MS] : Number.NaN;
  if (ms <= MAX_MS) return ms;
  throw new HupwatchError("duration.invalid", `${what}: '${text}' is not a duration`, {
    hint: "give seconds (90, 1.5) or a unit (200ms, 5s, 2m, 1h), 24 days at most",
  });
}

/** `0.41 s`, `1 m 05 s`. */
export function formatDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
}
