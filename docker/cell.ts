/**
 * One cell of the grid: a server below a supervisor, load on it, deploys by the supervisor's own means, then a stop with a
 * request in flight. Measures; verdict.ts judges.
 */
import type { LoadReport } from "../src/load/result.ts";
import { LOG } from "../test/harness/log-lines.ts";
import { until } from "../test/harness/until.ts";
import type { Done } from "./command.ts";
import type { Column, Row } from "./matrix.ts";
import type { Load, Place } from "./place.ts";
import { PLACE } from "./places.ts";

export interface Measured {
  swaps: number;
  load: LoadReport;
  /** The version that was deployed last. */
  deployed: string;
  /** Pids that were zombies at two looks half a second apart. */
  zombies: number[];
  /** After the first and after the last swap, when what was replaced is gone. */
  processes: { first: number; last: number };
  /** Anonymous memory of all processes, in megabytes (10^6 bytes). */
  memoryMb: { first: number; last: number };
  stop: Stop;
}

export interface Stop {
  code: number;
  ms: number;
  /** Good and failed answers among requests that were running when the stop was asked for. */
  inFlight: { ok: number; failed: number } | "not asked";
}

const READY_TIMEOUT_MS = 60_000;
const SWAP_TIMEOUT_MS = 90_000;
const GRACE_SECONDS = 30;
/** Longer than a stop command takes to arrive, shorter than any grace time. */
const SLOW_MS = 4000;
/** Fresh connections: those are what a swap must not drop. A second. */
const RATE = 150;

export async function measureCell(place: Place, row: Row, server: Column, swaps: number): Promise<Measured> {
  await says(place, LOG.serves(1), READY_TIMEOUT_MS);
  await imported(place, "1", server);
  const load = place.load(["--mode", "fresh", "--rate", String(RATE), "--duration", "1h"]);
  await Promise.race([Bun.sleep(2000), load.done.then(failedEarly)]);

  const zombies = new Set<number>();
  let first = { processes: 0, memoryMb: 0 };
  let last = first;
  for (let generation = 1; generation <= swaps; generation++) {
    await swap(place, row, server, generation);
    for (const pid of await lastingZombies(place)) zombies.add(pid);
    last = await footprint(place);
    if (generation === 1) first = last;
  }
  await Bun.sleep(500);
  const report = reportOf(await load.end());

  return {
    swaps,
    load: report,
    deployed: String(swaps + 1),
    zombies: [...zombies],
    processes: { first: first.processes, last: last.processes },
    memoryMb: { first: first.memoryMb, last: last.memoryMb },
    stop: row.cutsAtStop ? await stopIdle(place) : await stopBusy(place),
  };
}

async function swap(place: Place, row: Row, server: Column, generation: number): Promise<void> {
  const next = String(generation + 1);
  await must(place.exec(["sh", "-c", `echo ${next} > ${PLACE}/VERSION`]));
  if (row.deploy === "signal") await place.signal("HUP");
  else await must(place.exec(row.deploy));
  await says(place, LOG.gone(generation), SWAP_TIMEOUT_MS);
  // A worker that is late would read the VERSION of the next deployment.
  await imported(place, next, server);
}

async function must(running: Promise<Done>): Promise<string> {
  const { code, stdout, stderr } = await running;
  if (code !== 0) throw new Error(`exit code ${code}: ${stdout}${stderr}`);
  return stdout;
}

const imported = (place: Place, version: string, { workers }: Column) =>
  says(place, new RegExp(`version ${version} ready`), READY_TIMEOUT_MS, workers);

async function says(place: Place, line: RegExp, timeoutMs: number, times = 1): Promise<void> {
  const all = new RegExp(line.source, "g");
  await until(async () => ((await place.log()).match(all)?.length ?? 0) >= times, {
    what: `${times} x ${line}`,
    timeoutMs,
    everyMs: 200,
  });
}

function failedEarly({ code, stdout, stderr }: Done): never {
  throw new Error(`the load ended by itself with code ${code}: ${stderr}${stdout.slice(0, 500)}`);
}

function reportOf({ code, stdout, stderr }: Done): LoadReport {
  // 1: some failed, which the report tells; 4: the generator was the limit, which it tells as well.
  if (![0, 1, 4].includes(code)) throw new Error(`hupwatch load: exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as LoadReport;
}

async function zombiesNow(place: Place): Promise<number[]> {
  const script = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true";
  const files = await must(place.exec(["sh", "-c", script]));
  return [...files.matchAll(/\/proc\/(\d+)\//g)].map((m) => Number(m[1]));
}

/** Every process is one for the moment between its end and its parent's look. */
async function lastingZombies(place: Place): Promise<number[]> {
  const before = await zombiesNow(place);
  if (before.length === 0) return [];
  await Bun.sleep(500);
  const after = await zombiesNow(place);
  return before.filter((pid) => after.includes(pid));
}

async function footprint(place: Place): Promise<{ processes: number; memoryMb: number }> {
  // The shell and the programs that look are not counted: no RssAnon line of theirs is older than the others'.
  const script = "for d in /proc/[0-9]*; do [ $d = /proc/$$ ] || cat $d/status 2>/dev/null; done";
  const statuses = await must(place.exec(["sh", "-c", script]));
  const own = statuses
    .split(/^(?=Name:)/m)
    .filter((s) => !/^Name:\s+(cat|sh)\n/.test(s) && /^RssAnon:/m.test(s));
  const kilobytes = own.map((s) => Number(/^RssAnon:\s+(\d+)/m.exec(s)?.[1] ?? 0));
  return { processes: own.length, memoryMb: (kilobytes.reduce((sum, kb) => sum + kb, 0) * 1024) / 1e6 };
}

async function stopIdle(place: Place): Promise<Stop> {
  return { ...(await place.stop(GRACE_SECONDS)), inFlight: "not asked" };
}

async function stopBusy(place: Place): Promise<Stop> {
  const idle = await sockets(place);
  const slow = place.load(["--mode", "slow", "--slow-time", `${SLOW_MS}ms`, "--requests", "1"]);
  await accepted(place, idle, slow);
  const stopped = await place.stop(GRACE_SECONDS);
  const { ok, failed } = reportOf(await slow.done);
  return { ...stopped, inFlight: { ok, failed } };
}

/** Open socket descriptors of all processes. (/proc/net/unix would not do: an accepted one is in its client's network.) */
async function sockets(place: Place): Promise<number> {
  return Number(await must(place.exec(["sh", "-c", "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c socket:"])));
}

/** Until the server has accepted the slow request's connection, and a little longer, so that it has read it. */
async function accepted(place: Place, idle: number, slow: Load): Promise<void> {
  const ended = slow.done.then(failedEarly);
  ended.catch(() => {}); // its end is asked for later
  // Twice: the load looks first whether anybody is there at all.
  const seen = until(async () => (await sockets(place)) > idle && (await sockets(place)) > idle, {
    what: "the slow request's connection",
    timeoutMs: 20_000,
    everyMs: 100,
  });
  await Promise.race([seen, ended]);
  await Bun.sleep(300);
}
