/** What hupwatch takes of the machine while nothing happens, after many swaps: memory, and how often it wakes up. */
import { SLEEPER, startLight } from "./light.ts";
import type { Row } from "./row.ts";
import { CALM_MS, IDLE_MS, switches, wakeUpsSince } from "./wake-ups.ts";

const BUDGET = { rssMb: 40, dirtyMb: 8, wakeUps: 0 };
export async function footprint(swaps: number): Promise<Row[]> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", "--", ...SLEEPER],
  ]);
  const { hupwatch } = light;
  for (let n = 0; n < swaps; n++) await light.swap();
  await Bun.sleep(CALM_MS);
  const before = switches(hupwatch.pid);
  await Bun.sleep(IDLE_MS);
  const wakeUps = wakeUpsSince(before, hupwatch.pid);
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
