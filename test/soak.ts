/**
 * Does anything of the package grow with the number of swaps? `bun run soak [--swaps 1000]`: a light child under hupwatch without a
 * socket, ten times as often, with a Unix one and with a TCP one, all three at the same time; with a socket a swap takes its settle
 * time. Descriptors, threads, processes (zombies too) and socket files must be what they were, the state file, too; memory must level
 * off. Then what it costs many times over (`bench --scale`), in its full size, or a share of it: `--scale 0.2`; 0 leaves it out. At
 * last the fuzz, `--fuzz 5` seconds for each reader. `--only swaps`, `fuzz` or the name of a measure does no more than that. Exit code 1 where
 * something leaks, a budget is not met or a reader fails; the last line says what.
 */
import { readdirSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import type { FullStock } from "../fixtures/demo/hupwatch-run.ts";
import { count, megabytes, slopePer100, table } from "../fixtures/demo/text.ts";
import { install } from "./bench/installed.ts";
import type { Light } from "./bench/light.ts";
import { type Row, renderRows } from "./bench/row.ts";
import { SCALE } from "./bench/scale/measures.ts";
import { freePort } from "./harness/free-port.ts";

const { values } = parseArgs({
  options: {
    swaps: { type: "string", default: "1000" },
    scale: { type: "string", default: "1" },
    fuzz: { type: "string", default: "5" },
    only: { type: "string" },
  },
});
const installed = await install("package");
process.env.HUPWATCH_LAUNCHER = installed.launcher;
// They look for it when they are loaded.
const { fullStock } = await import("../fixtures/demo/hupwatch-run.ts");
const { SLEEPER, startLight } = await import("./bench/light.ts");

const SWAPS = Number(values.swaps);
/** Without a socket a swap has no settle time. */
const LONG = 10;
const SAMPLES = 40;
/** The runtime compiles and sizes its heap in the first swaps; what grows later never stops growing. */
const WARM_SHARE = 0.3;
/** A leak of 5 KB a swap; the heap's own breathing stays below it over some hundred swaps. */
const SLOPE_MAX_KB = 512;
const SETTLED_MS = 3000;
/** Numbers of generations and processes have more digits later. */
const STATE_GROWTH_MAX_BYTES = 32;

interface Sample extends FullStock {
  stateBytes: number;
}

interface Course {
  name: string;
  samples: { swap: number; stock: Sample }[];
}

type Figure = keyof Sample;
const COUNTED: readonly Figure[] = ["processes", "descriptors", "threads", "socketFiles"];

const HEAD = [
  "",
  "swaps",
  "processes",
  "descriptors",
  "threads",
  "socket files",
  "state file",
  "resident",
  "slope/100",
  "dirty/100",
];

async function runCourse(
  name: string,
  swaps: number,
  options: (socket: string) => string[],
): Promise<Course> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "--ready", "delay:0", ...options(socket)],
    ...["--", ...SLEEPER],
  ]);
  const every = Math.ceil(swaps / SAMPLES);
  const samples: Course["samples"] = [];
  for (let n = 1; n <= swaps; n++) {
    await light.swap();
    if (n % every !== 0 && n !== swaps) continue;
    if (n === swaps) await Bun.sleep(SETTLED_MS);
    samples.push({ swap: n, stock: stockOf(light) });
    if (samples.length % 10 === 0) console.error(`${name}: ${count(n)} of ${count(swaps)} swaps`);
  }
  return { name, samples };
}

const stockOf = ({ hupwatch, place }: Light): Sample => ({
  ...fullStock(hupwatch, place),
  stateBytes: readdirSync(place.runDir)
    .filter((file) => file.endsWith(".json"))
    .reduce((sum, file) => sum + statSync(`${place.runDir}/${file}`).size, 0),
});

/** From the end of the warm part on. */
const settled = ({ samples }: Course) => samples.slice(Math.floor(samples.length * WARM_SHARE));

function slopeOf(course: Course, figure: Figure): number {
  return slopePer100(settled(course).map(({ swap, stock }) => [swap, stock[figure]]));
}

/** What grew, in a sentence each. */
function leaks(course: Course): string[] {
  const part = settled(course);
  const [first, last] = [part[0]?.stock, part.at(-1)?.stock];
  if (!first || !last) throw new Error(`${course.name}: no samples`);
  const grown = COUNTED.filter((figure) => last[figure] > first[figure]).map(
    (figure) => `${course.name}: ${figure} grew from ${first[figure]} to ${last[figure]}`,
  );
  if (last.stateBytes > first.stateBytes + STATE_GROWTH_MAX_BYTES)
    grown.push(`${course.name}: the state file grew from ${first.stateBytes} to ${last.stateBytes} bytes`);
  const slope = slopeOf(course, "rssKb");
  if (slope > SLOPE_MAX_KB)
    grown.push(`${course.name}: resident memory grows by ${Math.round(slope)} KB per 100 swaps`);
  return grown;
}

function row(course: Course): string[] {
  const [first, last] = [settled(course)[0]?.stock, course.samples.at(-1)?.stock];
  const both = (figure: Figure) => `${first?.[figure]} -> ${last?.[figure]}`;
  return [
    course.name,
    count(course.samples.at(-1)?.swap ?? 0),
    ...COUNTED.map(both),
    both("stateBytes"),
    `${megabytes(first?.rssKb ?? 0)} -> ${megabytes(last?.rssKb ?? 0)}`,
    `${Math.round(slopeOf(course, "rssKb"))} KB`,
    `${Math.round(slopeOf(course, "privateDirtyKb"))} KB`,
  ];
}

async function swapping(): Promise<string[]> {
  const port = await freePort();
  const courses = await Promise.all([
    runCourse("no socket", LONG * SWAPS, () => []),
    runCourse("Unix socket", SWAPS, (socket) => ["-b", `unix:${socket}`]),
    runCourse("TCP socket", SWAPS, () => ["-b", `127.0.0.1:${port}`]),
  ]);
  console.log(`From the ${Math.round(WARM_SHARE * 100)} % mark to the end:\n`);
  console.log(table([HEAD, ...courses.map(row)]).join("\n"));
  return courses.flatMap(leaks).map((leak) => `LEAK: ${leak}`);
}

async function measured(name: string): Promise<string[]> {
  const rows = (await SCALE[name]?.(Number(values.scale))) ?? [];
  console.log(`\n${renderRows(rows)}`);
  return rows
    .filter(isOver)
    .map((one) => `OVER: ${name}: ${one.what.trim()}: ${one.measured}, ${one.budget}`);
}

const isOver = ({ met }: Row): boolean => met === false;

function fuzzed(): string[] {
  const words = [process.execPath, `${import.meta.dir}/fuzz/main.ts`, "--seconds", values.fuzz];
  const { success } = Bun.spawnSync(words, { stdio: ["ignore", "inherit", "inherit"] });
  return success ? [] : ["FUZZ: a reader fails, see above"];
}

const parts: Record<string, () => Promise<string[]> | string[]> = {
  swaps: swapping,
  ...Object.fromEntries(
    Object.keys(values.scale === "0" ? {} : SCALE).map((name) => [name, () => measured(name)] as const),
  ),
  fuzz: fuzzed,
};
const names = Object.keys(parts).filter((name) => values.only === undefined || name === values.only);
if (names.length === 0) {
  console.error(`soak: no part '${values.only}'\nTo fix: name one of ${Object.keys(parts).join(", ")}`);
  process.exit(2);
}
const found: string[] = [];
const tookS: string[] = [];
for (const name of names) {
  console.error(`\nmeasuring: ${name}`);
  const begun = performance.now();
  found.push(...((await parts[name]?.()) ?? []));
  tookS.push(`${name} ${Math.round((performance.now() - begun) / 1000)} s`);
}
console.log(`\ntook: ${tookS.join(", ")}`);
console.log(found.length === 0 ? "no leak, and all budgets are met" : found.join("\n"));
installed[Symbol.dispose]();
process.exit(found.length === 0 ? 0 : 1);
