/** Many hupwatches on one machine, all started at once: what each takes then, and while nothing happens. */
import { Place } from "../../../fixtures/demo/place.ts";
import { LAUNCHER, Wrapped } from "../../../fixtures/demo/wrapped.ts";
import { SLEEPER } from "../light.ts";
import type { Row } from "../row.ts";
import { cpuMsOf, memoryOf } from "./usage.ts";

/** As in footprint.ts: the runtime's collector calms down in half a minute. */
const CALM_MS = 45_000;
const IDLE_MS = 10_000;
const BUDGET = { startRatio: 1.5, heardMs: 0.5, idleMs: 1, pssMb: 17, statusMs: 10 };
/** All of them share the cores, and perhaps with others. */
const START_MS_MAX = 300_000;

export async function manyHupwatches(size: number): Promise<Row[]> {
  using place = new Place();
  place.deploy(1);
  await using running = new AsyncDisposableStack();
  const { signal } = new AbortController();
  const start = async (name: string) => {
    const app = { cwd: place.path, wrapped: [...wrapped, "--name", name, "--", ...SLEEPER] };
    const { pid } = running.use(await Wrapped.start(app, place, signal, START_MS_MAX));
    return { pid, startMs: cpuMsOf(pid) };
  };
  const first = await start("first");
  const begun = performance.now();
  const others = await Promise.all(Array.from({ length: size - 1 }, (_, n) => start(`other-${n}`)));
  const tookS = (performance.now() - begun) / 1000;
  const pids = [first, ...others].map(({ pid }) => pid);
  const startMs = mean(others.map(({ startMs }) => startMs));
  // Each has seen half of the others start, on average.
  const heard = mean(others.map(({ pid, startMs }) => cpuMsOf(pid) - startMs)) / (size / 2);
  await Bun.sleep(CALM_MS);
  const idle = await grown(pids, () => Bun.sleep(IDLE_MS));
  const memory = pids.map(memoryOf);
  const mb = (of: "privateKb" | "sharedKb" | "pssKb") => mean(memory.map((one) => one[of])) / 1024;
  const status = await grown(pids, async () => ask(place));
  return [
    row(
      `CPU of one start among ${size} at once / alone (all serve after ${tookS.toFixed(0)} s)`,
      ...([startMs / first.startMs, "", BUDGET.startRatio] as const),
    ),
    row("  and of each that runs already, for one that starts", heard, " ms", BUDGET.heardMs),
    row(`CPU of an idle hupwatch in ${IDLE_MS / 1000} s, one of ${size}`, idle, " ms", BUDGET.idleMs),
    row(
      `  its memory as PSS (${mb("privateKb").toFixed(1)} MB private, ${mb("sharedKb").toFixed(1)} MB shared by all)`,
      ...([mb("pssKb"), " MB", BUDGET.pssMb] as const),
    ),
    row(`  its CPU for one 'hupwatch status' of all ${size}`, status, " ms", BUDGET.statusMs),
  ];
}

const wrapped = ["-w", "0", "--handover", "none", "--ready", "delay:0"];

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
