/** What hupwatch takes of the machine while nothing happens, after many swaps: memory, and how often it wakes up. */
import { readdirSync, readFileSync } from "node:fs";
import { slopePer100 } from "../../fixtures/demo/text.ts";
import { SLEEPER, startLight } from "./light.ts";
import type { Row } from "./row.ts";

const BUDGET = { rssMb: 40, dirtyMb: 8, slopeMb: 0.5, wakeUps: 0 };
/**
 * The runtime's collector looks every second until the heap has been the same for half a minute, then every 30 s; its
 * allocator gives memory back meanwhile. Only then does anybody see what hupwatch itself does.
 */
const CALM_MS = 45_000;
const IDLE_MS = 10_000;
const SAMPLES = 20;

export async function footprint(swaps: number): Promise<Row[]> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", "--", ...SLEEPER],
  ]);
  const { hupwatch } = light;
  const samples: { swap: number; mb: number }[] = [];
  for (let n = 1; n <= swaps; n++) {
    await light.swap();
    if (n % Math.ceil(swaps / SAMPLES) === 0) samples.push({ swap: n, mb: hupwatch.stock().rssKb / 1024 });
  }
  await Bun.sleep(CALM_MS);
  const before = switches(hupwatch.pid);
  await Bun.sleep(IDLE_MS);
  const perSecond = ((switches(hupwatch.pid) - before) * 1000) / IDLE_MS;
  const { rssKb, privateDirtyKb } = hupwatch.stock();
  const slope = slopePer100(samples.slice(samples.length / 2).map(({ swap, mb }) => [swap, mb]));
  const row = (what: string, value: number, unit: string, budget: number): Row => ({
    what,
    budget: `<= ${budget} ${unit}`.trimEnd(),
    measured: `${value.toFixed(1)} ${unit}`.trimEnd(),
    met: value <= budget,
  });
  return [
    row(`resident memory, idle, after ${swaps} swaps`, rssKb / 1024, "MB", BUDGET.rssMb),
    row("  of it private and dirty", privateDirtyKb / 1024, "MB", BUDGET.dirtyMb),
    row("  slope over the second half, per 100 swaps", slope, "MB", BUDGET.slopeMb),
    row("wake-ups a second, idle, all threads", perSecond, "", BUDGET.wakeUps),
  ];
}

/** Voluntary context switches: a thread that sleeps on and on makes none. proc_pid_status(5). */
function switches(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, "latin1");
    return sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]);
  }, 0);
}
