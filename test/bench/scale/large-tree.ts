/** A command with hundreds of processes: what a look at them costs, and that a swap leaves none of them. */
import { readdirSync } from "node:fs";
import { SLEEPER, startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { cpuMsIn } from "./usage.ts";

const SCRAPES = 10;
const BUDGET = { microsecondsPerProcess: 150, left: 0 };
/** Its leader ends at once when it is told to: all others are left to hupwatch. */
const SCRIPT = 'n=1; while [ $n -lt "$0" ]; do sleep infinity & n=$((n+1)); done; wait';

export async function largeTree(size: number): Promise<Row[]> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0"],
    ...["--", "sh", "-c", SCRIPT, `${size}`],
  ]);
  const { hupwatch, place } = light;
  const sleepers = () => place.processes().filter(({ command }) => command === SLEEPER[0]).length;
  const all = async () => {
    while (sleepers() < size - 1) await Bun.sleep(50);
  };
  await all();
  const control = `${place.runDir}/${readdirSync(place.runDir).find((file) => file.endsWith(".sock"))}`;
  const scrapes = async () => {
    for (let n = 0; n < SCRAPES; n++)
      await (await fetch("http://hupwatch/metrics", { unix: control })).text();
  };
  await scrapes();
  const perProcess = (1000 * (await cpuMsIn(hupwatch.pid, scrapes))) / SCRAPES / size;
  const swap = await cpuMsIn(hupwatch.pid, light.swap);
  await all();
  const left = sleepers() - (size - 1);
  return [
    {
      what: `CPU of a scrape of /metrics for each process of a command that has ${size}`,
      budget: `<= ${BUDGET.microsecondsPerProcess} µs`,
      measured: `${perProcess.toFixed(0)} µs`,
      met: perProcess <= BUDGET.microsecondsPerProcess,
    },
    {
      what: `processes of the old generation that a swap of ${size} leaves`,
      budget: `${BUDGET.left}`,
      measured: `${left} (the swap: ${swap.toFixed(0)} ms of CPU)`,
      met: left === BUDGET.left,
    },
  ];
}
