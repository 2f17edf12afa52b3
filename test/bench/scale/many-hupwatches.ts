/** Many hupwatches on one machine, all started at once: what each takes then, and while nothing happens. */
import { Place } from "../../../fixtures/demo/place.ts";
import { LAUNCHER, Wrapped } from "../../../fixtures/demo/wrapped.ts";
import { SLEEPER } from "../light.ts";
import type { Row } from "../row.ts";
import { cpuMsOf, memoryOf } from "./usage.ts";

/** As in footprint.ts: the runtime's collector calms down in half a minute. */
const CALM_MS = 45_000;
const IDLE_MS = 10_000;
const BUDGET = { startRatio: 1.5, idleMs: 1, privateMb: 16, statusMs: 10 };

export async function manyHupwatches(size: number): Promise<Row[]> {
  using place = new Place();
  place.deploy(1);
  await using running = new AsyncDisposableStack();
  const start = async (name: string) =>
    running.use(
      await Wrapped.start(
        { cwd: place.path, wrapped: [...wrapped, "--name", name, "--", ...SLEEPER] },
        place,
        signal,
      ),
    );
  const { signal } = new AbortController();
  const first = await start("first");
  const alone = cpuMsOf(first.pid);
  const others = await Promise.all(Array.from({ length: size - 1 }, (_, n) => start(`other-${n}`)));
  const pids = [first, ...others].map(({ pid }) => pid);
  const together = mean(others.map(({ pid }) => cpuMsOf(pid)));
  await Bun.sleep(CALM_MS);
  const idle = await grown(pids, () => Bun.sleep(IDLE_MS));
  const memory = pids.map(memoryOf);
  const privateMb = mean(memory.map(({ privateKb }) => privateKb)) / 1024;
  const sharedMb = mean(memory.map(({ sharedKb }) => sharedKb)) / 1024;
  const status = await grown(pids, async () => ask(place));
  return [
    row(`CPU of one start among ${size} at once / alone`, together / alone, "", BUDGET.startRatio),
    row(`CPU of an idle hupwatch in ${IDLE_MS / 1000} s, one of ${size}`, idle, " ms", BUDGET.idleMs),
    row(
      `  its private memory (and ${sharedMb.toFixed(1)} MB shared by all)`,
      privateMb,
      " MB",
      BUDGET.privateMb,
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
