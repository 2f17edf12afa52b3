/** What a cell has to show to be green. Every line can fail. */
import type { Measured } from "./cell.ts";

/** A generation left behind would be a third of it or more. */
const GROWTH_MAX = 1.25;
/** Docker ends a container by force after the grace time. */
const GRACE_MS = 30_000;

/** Why it is not green; empty where it is. */
export function faultsOf(m: Measured): string[] {
  const { load, stop } = m;
  const faults: string[] = [];
  const say = (bad: boolean, what: string) => bad && faults.push(what);
  say(load.ok === 0, "no request was answered");
  say(load.failed > 0, `${load.failed} of ${load.started} requests dropped: ${failures(m)}`);
  say(load.generator.limited, `the load was the limit: ${load.generator.reasons.join("; ")}`);
  say(load.versionRegressions > 0, `an older version answered ${load.versionRegressions} times`);
  const newest = load.versions.at(-1)?.version;
  say(newest !== m.deployed, `version ${m.deployed} was deployed, ${newest ?? "none"} answered last`);
  say(load.versions.length !== m.swaps + 1, `${load.versions.length} versions in ${m.swaps} swaps`);
  say(m.zombies.length > 0, `zombies: ${m.zombies.join(", ")}`);
  const { processes, memoryMb } = m;
  say(processes.last !== processes.first, `${processes.first} processes became ${processes.last}`);
  say(
    memoryMb.last > memoryMb.first * GROWTH_MAX,
    `${memoryMb.first.toFixed(0)} MB became ${memoryMb.last.toFixed(0)} MB`,
  );
  if (stop.inFlight === "not asked") return faults;
  say(stop.code !== 0, `exit code ${stop.code} after docker stop`);
  say(stop.ms >= GRACE_MS, `docker stop took ${(stop.ms / 1000).toFixed(1)} s`);
  say(stop.inFlight.failed > 0 || stop.inFlight.ok !== 1, "the request in flight at docker stop was cut");
  return faults;
}

const failures = ({ load }: Measured): string =>
  load.failures.map((f) => `${f.count} x ${JSON.stringify(f)}`).join(", ");
