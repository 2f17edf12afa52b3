/** What a cell has to show to be green. Every line can fail. */
import type { Measured } from "./cell.ts";

/** A generation left behind would be a third of it or more. */
const GROWTH_MAX = 1.25;
/** Where there are swaps enough to tell growth from noise. */
const MANY_SWAPS = 30;
const SLOW_GROWTH_MAX = 1.05;
/** Docker ends a container by force after the grace time. */
const GRACE_MS = 30_000;

/** Why it is not green; empty where it is. */
export function faultsOf(m: Measured): string[] {
  const { load, stop } = m;
  const faults: string[] = [];
  const say = (bad: boolean, what: string) => bad && faults.push(what);
  say(load.ok === 0, "no request was answered");
  const isBalanced = load.scheduled === load.started + load.missed && load.started === load.ok + load.failed;
  say(
    !isBalanced,
    `of ${load.started} requests ${load.ok} are good and ${load.failed} failed: some are lost`,
  );
  say(load.unaskedBytes > 0, `${load.unaskedBytes} connections got bytes that were not requested`);
  say(load.failed > 0, `${load.failed} of ${load.started} requests dropped: ${failures(m)}`);
  say(load.generator.limited, `the load was the limit: ${load.generator.reasons.join("; ")}`);
  say(load.versionRegressions > 0, `an older version answered ${load.versionRegressions} times`);
  const newest = load.versions.at(-1)?.version;
  say(newest !== m.deployed, `version ${m.deployed} was deployed, ${newest ?? "none"} answered last`);
  say(load.versions.length !== m.swaps + 1, `${load.versions.length} versions in ${m.swaps} swaps`);
  say(m.zombies.length > 0, `zombies: ${m.zombies.join(", ")}`);
  const counts = [...new Set(m.processes)];
  say(counts.length > 1, `${counts[0]} processes became ${counts.slice(1).join(", ")}`);
  const { first, last } = growthOf(m.memoryMb);
  const bound = m.swaps < MANY_SWAPS ? GROWTH_MAX : SLOW_GROWTH_MAX;
  say(last > first * bound, `${first.toFixed(0)} MB became ${last.toFixed(0)} MB`);
  say(stop.code !== stop.expectedCode, `exit code ${stop.code} after docker stop`);
  say(stop.ms >= GRACE_MS, `docker stop took ${(stop.ms / 1000).toFixed(1)} s`);
  say(stop.inFlight.failed > 0 || stop.inFlight.ok !== 1, "the request in flight at docker stop was cut");
  return faults;
}

/** Medians of the first and the last third: what is there at one look and gone at the next is no growth. */
function growthOf(samples: readonly number[]): { first: number; last: number } {
  const third = Math.ceil(samples.length / 3);
  const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  return { first: median(samples.slice(0, third)), last: median(samples.slice(-third)) };
}

const failures = ({ load }: Measured): string =>
  load.failures.map((f) => `${f.count} x ${JSON.stringify(f)}`).join(", ");
