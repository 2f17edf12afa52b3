/** Many hupwatches on one machine, all started at once: what each takes then, and while nothing happens. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { Place } from "../../../fixtures/demo/place.ts";
import { median } from "../../../fixtures/demo/text.ts";
import { waitFor } from "../../../fixtures/demo/wait.ts";
import { LAUNCHER, Wrapped } from "../../../fixtures/demo/wrapped.ts";
import type { Row } from "../row.ts";
import { cpuMsIn, cpuMsOf, memoryOf, msOf } from "./usage.ts";

const ALONE = 7;
/** As in footprint.ts: the runtime's collector calms down in half a minute. */
const CALM_MS = 45_000;
const IDLE_MS = 10_000;
const BUDGET = { startRatio: 1.5, heardMs: 0.5, idleMs: 1, pssMb: 17, statusMs: 10 };
/** All of them share the cores, and perhaps with others. */
const START_MS_MAX = 300_000;

export async function manyHupwatches(size: number): Promise<Row[]> {
  using place = new Place();
  place.deploy(1);
  const before = await aloneMs(place);
  await using running = new AsyncDisposableStack();
  const first = running.use(await start(place, "first"));
  await Bun.sleep(CALM_MS);
  const begun = performance.now();
  let others: Started[] = [];
  const heard = await cpuMsIn(first.pid, async () => {
    const starts = Array.from({ length: size - 1 }, (_, n) => start(place, `other-${n}`));
    others = (await Promise.all(starts)).map((one) => running.use(one));
  });
  const tookS = (performance.now() - begun) / 1000;
  const pids = [first, ...others].map(({ pid }) => pid);
  const startMs = mean(others.map((one) => one.startMs()));
  // The machine may be slower by now, for the 200 as for one.
  const alone = median([...before, ...(await aloneMs(place))]);
  await Bun.sleep(CALM_MS);
  const idle = await grown(pids, () => Bun.sleep(IDLE_MS));
  const memory = pids.map(memoryOf);
  const mb = (of: "privateKb" | "sharedKb" | "pssKb") => mean(memory.map((one) => one[of])) / 1024;
  const status = await grown(pids, async () => ask(place));
  return [
    row(
      `CPU of one start among ${size} at once / alone (all serve after ${tookS.toFixed(0)} s)`,
      ...([startMs / alone, "", BUDGET.startRatio] as const),
    ),
    row("  and of one that runs already, for each that starts", heard / (size - 1), " ms", BUDGET.heardMs),
    row(`CPU of an idle hupwatch in ${IDLE_MS / 1000} s, one of ${size}`, idle, " ms", BUDGET.idleMs),
    row(
      `  its memory as PSS (${mb("privateKb").toFixed(1)} MB private, ${mb("sharedKb").toFixed(1)} MB shared by all)`,
      ...([mb("pssKb"), " MB", BUDGET.pssMb] as const),
    ),
    row(`  its CPU for one 'hupwatch status' of all ${size}`, status, " ms", BUDGET.statusMs),
  ];
}

async function aloneMs(place: Place): Promise<number[]> {
  const took: number[] = [];
  for (let n = 0; n < ALONE; n++) {
    await using one = await start(place, "alone");
    took.push(one.startMs());
  }
  return took;
}

interface Started extends AsyncDisposable {
  pid: number;
  /** CPU of hupwatch until its command ran. */
  startMs(): number;
}

/**
 * The command itself notes what its hupwatch has taken: this process has many others to look after, and comes to it late, when that
 * one has heard of other starts.
 */
async function start(place: Place, name: string): Promise<Started> {
  const note = `${place.path}/${name}.cpu`;
  rmSync(note, { force: true });
  const app = {
    cwd: place.path,
    wrapped: [...OPTIONS, "--name", name, "--", "sh", "-c", NOTE_AND_STAY, note],
  };
  const { signal } = new AbortController();
  const hupwatch = await Wrapped.start(app, place, signal, START_MS_MAX);
  await waitFor(() => existsSync(note), { what: `the note of ${name}`, timeoutMs: START_MS_MAX, signal });
  return {
    pid: hupwatch.pid,
    startMs: () => msOf(readFileSync(note, "latin1").trimEnd().split("\n")),
    [Symbol.asyncDispose]: () => hupwatch[Symbol.asyncDispose](),
  };
}

const NOTE_AND_STAY = 'cat "/proc/$PPID/task/"*/schedstat >"$0~"; mv "$0~" "$0"; exec sleep infinity';
const OPTIONS = ["-w", "0", "--handover", "none", "--ready", "delay:0"];

const row = (what: string, value: number, unit: string, budget: number): Row => ({
  what,
  budget: `<= ${budget}${unit}`,
  measured: `${value.toFixed(2)}${unit}`,
  met: value <= budget,
});

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length;

/** CPU that each took, on average. */
async function grown(pids: readonly number[], use: () => Promise<unknown>): Promise<number> {
  const before = pids.map(cpuMsOf);
  await use();
  return mean(pids.map((pid, n) => cpuMsOf(pid) - (before[n] ?? 0)));
}

async function ask(place: Place): Promise<void> {
  const env = place.environment({ HUPWATCH_BUN: process.execPath });
  const status = Bun.spawn([LAUNCHER, "status", "--json", "--run-dir", place.runDir], {
    env,
    stdout: "ignore",
  });
  if ((await status.exited) !== 0) throw new Error("hupwatch status failed");
}
