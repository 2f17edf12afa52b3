/** What hupwatch takes of the machine while nothing happens, after many swaps: memory, and how often it wakes up. */
import { readdirSync, readFileSync } from "node:fs";
import { SLEEPER, startLight } from "./light.ts";
import type { Row } from "./row.ts";

const BUDGET = { rssMb: 40, dirtyMb: 8, wakeUps: 0 };
/**
 * The runtime's collector looks every second until the heap has been the same for half a minute, then every 30 s; its
 * allocator gives memory back meanwhile. Only then it can be seen what hupwatch itself does.
 */
const CALM_MS = 45_000;
const IDLE_MS = 10_000;

export async function footprint(swaps: number): Promise<Row[]> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", "--", ...SLEEPER],
  ]);
  const { hupwatch } = light;
  for (let n = 0; n < swaps; n++) await light.swap();
  await Bun.sleep(CALM_MS);
  const before = switches(hupwatch.pid);
  await Bun.sleep(IDLE_MS);
  const wakeUps = sumOfGrowth(before, switches(hupwatch.pid));
  const { rssKb, privateDirtyKb } = hupwatch.stock();
  const row = (what: string, value: number, unit: string, budget: number): Row => ({
    what,
    budget: `<= ${budget} ${unit}`.trimEnd(),
    measured: `${value.toFixed(1)} ${unit}`.trimEnd(),
    met: value <= budget,
  });
  return [
    row(`resident memory, idle, after ${swaps} swaps`, rssKb / 1024, "MB", BUDGET.rssMb),
    row("  of it private and dirty", privateDirtyKb / 1024, "MB", BUDGET.dirtyMb),
    { what: "  slope", budget: "none", measured: "bun run soak tells", met: undefined },
    row("wake-ups a second, idle, all threads", (wakeUps * 1000) / IDLE_MS, "", BUDGET.wakeUps),
  ];
}

/** Voluntary context switches by thread: one that sleeps on and on makes none. proc_pid_status(5). */
function switches(pid: number): Map<string, number> {
  return new Map(
    readdirSync(`/proc/${pid}/task`).map((task) => {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, "latin1");
      return [task, Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1])];
    }),
  );
}

/** A thread that is new has woken up as often as it says; one that ended is not counted. */
const sumOfGrowth = (before: Map<string, number>, after: Map<string, number>): number =>
  [...after].reduce((sum, [task, count]) => sum + count - (before.get(task) ?? 0), 0);
