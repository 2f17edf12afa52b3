/** What a check is, and what it is made from. */
import type { Evidence, Stage } from "./evidence.ts";
import type { Loss } from "./losses.ts";

/**
 * `measured`: told, and no bound was given. `skipped`: could not be looked at; the summary says why. `not-exercised`: what it
 * is a check of never happened in this run, so that it has proved nothing.
 */
export type CheckStatus = "pass" | "fail" | "inconclusive" | "measured" | "skipped" | "not-exercised";

export interface Check {
  /** Stable, for scripts. */
  name: string;
  status: CheckStatus;
  /** One line. */
  summary: string;
  details: string[];
}

export interface Facts {
  evidence: Evidence;
  losses: Loss[];
  /** The stage of ordinary swaps, without the accidents. */
  swaps: Stage | undefined;
}

/** Undefined where there is nothing to check. */
export type Judge = (facts: Facts) => Check | Check[] | undefined;

export const verdict = (ok: boolean): CheckStatus => (ok ? "pass" : "fail");

/** Passes only where the danger came about at least once. */
export const exercised = (happened: number, ok: boolean): CheckStatus =>
  ok && happened === 0 ? "not-exercised" : verdict(ok);

export const make = (name: string, status: CheckStatus, summary: string, details: string[] = []): Check => ({
  name,
  status,
  summary,
  details,
});

/** Fails only where a bound was given. */
export function bounded(
  name: string,
  value: number | undefined,
  bound: number | undefined,
  summary: string,
): Check {
  if (bound === undefined) return make(name, "measured", summary);
  if (value === undefined) return make(name, "skipped", summary);
  return make(name, verdict(value <= bound), `${summary} (bound ${bound})`);
}
