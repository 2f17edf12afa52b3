/**
 * The design's budgets, measured on this machine, now: `bun run bench [--scale] [--only NAME] [--of FORM] [--quick]`. FORM is what is
 * measured: the package (the default), the executable or the sources. `--scale`: what it costs on a large machine, or many times over.
 * Nothing is asserted: on a busy machine times are noise, and what is to be trusted are counts and ratios, whose two sides were
 * measured side by side.
 */
import { parseArgs } from "node:util";
import { FORMS, install } from "./installed.ts";
import { type Row, renderRows } from "./row.ts";
import { type Measure, SCALE } from "./scale/measures.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    of: { type: "string", default: "package" },
    quick: { type: "boolean", default: false },
    scale: { type: "boolean", default: false },
  },
});
const share = values.quick ? 0.2 : 1;
const times = (n: number) => Math.max(2, Math.round(n * share));

// Loaded one by one: they look for HUPWATCH_LAUNCHER when they are.
const MEASURES: Record<string, Measure> = {
  latency: async () => (await import("./swap-latency.ts")).swapLatency(times(15)),
  exec: async () => (await import("./hup-to-exec.ts")).hupToExec(times(30)),
  flip: async () => (await import("./ready-to-flip.ts")).readyToFlip(times(20)),
  rollback: async () => (await import("./rollback-to-flip.ts")).rollbackToFlip(times(20)),
  start: async () => (await import("./start-up.ts")).startUp(times(30)),
  footprint: async () => (await import("./footprint.ts")).footprint(times(100)),
  interception: async () =>
    (await import("./interception.ts")).interception(times(20), times(7), values.quick ? 1 : 3),
  load: async () => (await import("./load-rate.ts")).loadRate(times(5)),
  relayed: async () => (await import("./relayed.ts")).relayed(times(5), times(50_000)),
};

const measures: Record<string, Measure> = values.scale
  ? { ...SCALE, start: MEASURES.start as Measure }
  : MEASURES;
const names = Object.keys(measures).filter((name) => values.only === undefined || name === values.only);
if (names.length === 0) {
  console.error(
    `bench: no measure '${values.only}'\nTo fix: name one of ${Object.keys(measures).join(", ")}`,
  );
  process.exit(2);
}

const form = FORMS.find((known) => known === values.of);
if (form === undefined) {
  console.error(`bench: no form '${values.of}'\nTo fix: name one of ${FORMS.join(", ")}`);
  process.exit(2);
}
const installed = await install(form);
process.env.HUPWATCH_LAUNCHER = installed.launcher;

const rows: Row[] = [];
for (const name of names) {
  console.error(`measuring: ${name}`);
  const begun = performance.now();
  rows.push(...((await measures[name]?.(share)) ?? []));
  console.error(`took ${Math.round((performance.now() - begun) / 1000)} s`);
}
console.log(`\nof the ${form}:\n\n${renderRows(rows)}`);
installed[Symbol.dispose]();
process.exit(0);
