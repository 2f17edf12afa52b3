/**
 * Does anything grow with the number of swaps? `bun run soak [--swaps 1000]`: a light child under hupwatch without a
 * socket, with a Unix one and with a TCP one, all three at the same time; with a socket a swap takes its settle time.
 * Descriptors, threads, processes (zombies too) and socket files must be what they were; memory must level off. Then the fuzz,
 * `--fuzz 30` seconds for each reader.
 */
import { parseArgs } from "node:util";
import { type FullStock, fullStock } from "../fixtures/demo/hupwatch-run.ts";
import { count, megabytes, slopePer100, table } from "../fixtures/demo/text.ts";
import { type Light, SLEEPER, startLight } from "./bench/light.ts";
import { freePort } from "./harness/until.ts";

const { values } = parseArgs({
  options: { swaps: { type: "string", default: "1000" }, fuzz: { type: "string", default: "30" } },
});
const SWAPS = Number(values.swaps);
const SAMPLES = 40;
/** The runtime compiles and sizes its heap in the first swaps; what grows later never stops growing. */
const WARM_SHARE = 0.3;
/** A leak of 5 KB a swap; the heap's own breathing stays below it over some hundred swaps. */
const SLOPE_MAX_KB = 512;
const SETTLED_MS = 3000;

interface Course {
  name: string;
  samples: { swap: number; stock: FullStock }[];
}

type Figure = keyof FullStock;
const COUNTED: readonly Figure[] = ["processes", "descriptors", "threads", "socketFiles"];

async function runCourse(name: string, options: (socket: string) => string[]): Promise<Course> {
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "--ready", "delay:0", ...options(socket)],
    ...["--", ...SLEEPER],
  ]);
  const every = Math.ceil(SWAPS / SAMPLES);
  const samples: Course["samples"] = [];
  for (let n = 1; n <= SWAPS; n++) {
    await light.swap();
    if (n % every !== 0 && n !== SWAPS) continue;
    if (n === SWAPS) await Bun.sleep(SETTLED_MS);
    samples.push({ swap: n, stock: stockOf(light) });
    if (samples.length % 10 === 0) console.error(`${name}: ${count(n)} of ${count(SWAPS)} swaps`);
  }
  return { name, samples };
}

const stockOf = ({ hupwatch, place }: Light): FullStock => fullStock(hupwatch, place);

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
    ...COUNTED.map(both),
    `${megabytes(first?.rssKb ?? 0)} -> ${megabytes(last?.rssKb ?? 0)}`,
    `${Math.round(slopeOf(course, "rssKb"))} KB`,
    `${Math.round(slopeOf(course, "privateDirtyKb"))} KB`,
  ];
}

const port = await freePort();
const courses = await Promise.all([
  runCourse("no socket", () => []),
  runCourse("Unix socket", (socket) => ["-b", `unix:${socket}`]),
  runCourse("TCP socket", () => ["-b", `127.0.0.1:${port}`]),
]);
const head = [
  "",
  "processes",
  "descriptors",
  "threads",
  "socket files",
  "resident",
  "slope/100",
  "dirty/100",
];
console.log(`${count(SWAPS)} swaps each; from the ${Math.round(WARM_SHARE * 100)} % mark to the end:\n`);
console.log(table([head, ...courses.map(row)]).join("\n"));
const found = courses.flatMap(leaks);
for (const leak of found) console.log(`LEAK: ${leak}`);
if (found.length === 0) console.log("no leak");

const fuzz = Bun.spawnSync([process.execPath, `${import.meta.dir}/fuzz/main.ts`, "--seconds", values.fuzz], {
  stdio: ["ignore", "inherit", "inherit"],
});
process.exit(found.length === 0 && fuzz.success ? 0 : 1);
