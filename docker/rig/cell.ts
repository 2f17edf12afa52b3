/**
 * One cell of the grid: a server below a supervisor, load on it, deploys by the supervisor's own means, then a stop with a
 * request in flight. Measures; verdict.ts judges.
 */
import type { LoadReport } from "../../src/load/result.ts";
import { LOG } from "../../test/harness/log-lines.ts";
import { until } from "../../test/harness/until.ts";
import type { Column } from "./columns.ts";
import type { Done } from "./command.ts";
import { DOCKER_KILL, type Row } from "./matrix.ts";
import type { Load, Place } from "./place.ts";
import { PLACE } from "./places.ts";

export interface Measured {
  swaps: number;
  load: LoadReport;
  /** The version that was deployed last. */
  deployed: string;
  /** Pids that were zombies at two looks, LOOK_MS apart, the strangers' that PID 1 is given included. */
  zombies: number[];
  /** After swaps, the first and the last among them, when what was replaced is gone. */
  processes: number[];
  /** Anonymous memory of all processes, in megabytes (10^6 bytes), after the same swaps. */
  memoryMb: number[];
  /** The whole container after the first and the last swap, as its engine counts it. */
  containerMb?: { first: number; last: number };
  stop: Stop;
}

export interface Stop {
  code: number;
  /** What it has to be. */
  expectedCode: number;
  ms: number;
  /** Good and failed answers among requests that were running when the stop was asked for. */
  inFlight: { ok: number; failed: number };
}

const READY_TIMEOUT_MS = 60_000;
const SWAP_TIMEOUT_MS = 90_000;
const GRACE_SECONDS = 30;
/** At what is left of replaced generations, in a cell. */
const LOOKS = 25;
/** Longer than a stop command takes to arrive, shorter than any grace time. */
const SLOW_MS = 4000;
/** Longer than circus.ini's check_delay. */
const LOOK_MS = 1500;
/** Fresh connections: those are what a swap must not drop. A second. */
const RATE = 150;

export async function measureCell(
  place: Place,
  row: Row,
  server: Column,
  swaps: number,
  progress: (swap: number) => void,
): Promise<Measured> {
  await says(place, LOG.serves(1), READY_TIMEOUT_MS);
  await imported(place, "1", server);
  const load = place.load(["--mode", "fresh", "--rate", String(RATE), "--duration", "1h"]);
  // Its first word is how far it is.
  await Promise.race([load.said, load.done.then(failedEarly)]);

  const zombies = new Set<number>();
  const prints: Footprint[] = [];
  const whole: number[] = [];
  for (let generation = 1; generation <= swaps; generation++) {
    await swap(place, row, server, generation);
    progress(generation);
    // The first, the last, and enough between them.
    if (generation > 1 && generation < swaps && generation % Math.ceil(swaps / LOOKS) !== 0) continue;
    for (const pid of await lastingZombies(place)) zombies.add(pid);
    prints.push(await footprint(place));
    if (row.swaps && (generation === 1 || generation === swaps)) whole.push(...(await place.wholeMb()));
  }
  if (row.preStop) await must(place.exec(["sh", "-c", row.preStop]));
  await Bun.sleep(500);
  const report = reportOf(await load.end());
  const [first, last] = whole;

  return {
    swaps,
    load: report,
    deployed: String(swaps + 1),
    zombies: [...zombies],
    processes: prints.map(({ processes }) => processes),
    memoryMb: prints.map(({ memoryMb }) => memoryMb),
    ...(first && last ? { containerMb: { first, last } } : {}),
    stop: await stopBusy(place, row),
  };
}

/** Its parent does not wait for it: PID 1 has to. */
const ORPHAN = "sleep 0.1 &";

async function swap(place: Place, row: Row, server: Column, generation: number): Promise<void> {
  const next = String(generation + 1);
  const deploy = row.deploy.replaceAll("{version}", next);
  const release = deploy === row.deploy ? `echo ${next} > ${PLACE}/VERSION` : "";
  await must(place.exec(["sh", "-c", `${ORPHAN} ${release}`]));
  if (deploy === DOCKER_KILL) await place.signal("HUP");
  else await must(place.exec(["sh", "-c", deploy]));
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

/** Every process is one for the moment between its end and its parent's look; circusd's looks are the furthest apart. */
async function lastingZombies(place: Place): Promise<number[]> {
  const before = await zombiesNow(place);
  if (before.length === 0) return [];
  await Bun.sleep(LOOK_MS);
  const after = await zombiesNow(place);
  return before.filter((pid) => after.includes(pid));
}

interface Footprint {
  processes: number;
  memoryMb: number;
}

async function footprint(place: Place): Promise<Footprint> {
  // The shell and the programs that look are not counted: no RssAnon line of theirs is older than the others'.
  const script = "for d in /proc/[0-9]*; do [ $d = /proc/$$ ] || cat $d/status 2>/dev/null; done";
  const statuses = await must(place.exec(["sh", "-c", script]));
  const own = statuses
    .split(/^(?=Name:)/m)
    .filter((s) => !/^Name:\s+(cat|sh)\n/.test(s) && /^RssAnon:/m.test(s));
  const kilobytes = own.map((s) => Number(/^RssAnon:\s+(\d+)/m.exec(s)?.[1] ?? 0));
  return { processes: own.length, memoryMb: (kilobytes.reduce((sum, kb) => sum + kb, 0) * 1024) / 1e6 };
}

/** One that the server has read and not yet answered. */
export async function slowRequest(place: Place): Promise<Load> {
  const idle = await sockets(place);
  const slow = place.load(["--mode", "slow", "--slow-time", `${SLOW_MS}ms`, "--requests", "1"]);
  await accepted(place, idle, slow);
  return slow;
}

async function stopBusy(place: Place, row: Row): Promise<Stop> {
  const slow = await slowRequest(place);
  const begin = performance.now();
  if (row.leaves) await must(place.exec(["sh", "-c", row.leaves]));
  const code = await place.stop(GRACE_SECONDS);
  const ms = performance.now() - begin;
  const { ok, failed } = reportOf(await slow.done);
  return { code, expectedCode: row.stopCode ?? 0, ms, inFlight: { ok, failed } };
}

/**
 * As the process's own user where root may not look: Docker's root has no CAP_SYS_PTRACE, and then sees no descriptor of a
 * server that an entrypoint has given another user.
 */
const DESCRIPTORS = `for process in /proc/[0-9]*; do
  ls -l $process/fd 2>/dev/null && continue
  set -- $(stat -c '--reuid=%u --regid=%g' $process 2>/dev/null)
  setpriv "$@" --clear-groups ls -l $process/fd 2>/dev/null
done`;

/** Open socket descriptors of all processes. (/proc/net/unix would not do: an accepted one is in its client's network.) */
async function sockets(place: Place): Promise<number> {
  return Number(await must(place.exec(["sh", "-c", `${DESCRIPTORS} | grep -c socket:`])));
}

/** Until the server has accepted the slow request's connection, and a little longer, so that it has read it. */
async function accepted(place: Place, idle: number, slow: Load): Promise<void> {
  const ended = slow.done.then(failedEarly);
  ended.catch(() => {}); // its end is asked for later
  // Twice: the load looks first whether a server is there at all.
  const seen = until(async () => (await sockets(place)) > idle && (await sockets(place)) > idle, {
    what: "the slow request's connection",
    timeoutMs: 20_000,
    everyMs: 100,
  });
  await Promise.race([seen, ended]);
  await Bun.sleep(300);
}
