/**
 * The design's budgets, measured on this machine, now: `bun run bench [--only NAME] [--quick]`. Nothing is asserted: on a
 * busy machine times are noise, and what is to be trusted are the ratios, whose two sides were measured side by side.
 */
import { parseArgs } from "node:util";
import { footprint } from "./footprint.ts";
import { hupToExec } from "./hup-to-exec.ts";
import { loadRate } from "./load-rate.ts";
import { readyToFlip } from "./ready-to-flip.ts";
import { type Row, renderRows } from "./row.ts";
import { startUp } from "./start-up.ts";
import { swapLatency } from "./swap-latency.ts";

const { values } = parseArgs({
  options: { only: { type: "string" }, quick: { type: "boolean", default: false } },
});
const scale = values.quick ? 0.2 : 1;
const times = (n: number) => Math.max(2, Math.round(n * scale));

const MEASURES: Record<string, () => Row[] | Promise<Row[]>> = {
  latency: () => swapLatency(times(15)),
  exec: () => hupToExec(times(30)),
  flip: () => readyToFlip(times(20)),
  start: () => startUp(times(30)),
  footprint: () => footprint(times(100)),
  load: () => loadRate(times(5)),
};

const names = Object.keys(MEASURES).filter((name) => values.only === undefined || name === values.only);
if (names.length === 0) {
  console.error(
    `bench: no measure '${values.only}'\nTo fix: name one of ${Object.keys(MEASURES).join(", ")}`,
  );
  process.exit(2);
}

const rows: Row[] = [];
for (const name of names) {
  console.error(`measuring: ${name}`);
  rows.push(...((await MEASURES[name]?.()) ?? []));
}
console.log(`\n${renderRows(rows)}`);
process.exit(0);
