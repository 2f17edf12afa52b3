/** One hupwatch that holds many addresses: a swap costs by the address, and leaves no descriptor. */
import { readdirSync } from "node:fs";
import { median } from "../../../fixtures/demo/text.ts";
import { SLEEPER, startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { cpuMsIn } from "./usage.ts";

const SWAPS = 5;
const LOOKS = 20;
const LOOK_MS = 100;
const BUDGET = { ratioPerAddress: 1, grown: 0 };

export async function manyAddresses(size: number): Promise<Row[]> {
  const one = await course(1);
  const many = await course(size);
  const ratio = many.swapMs / one.swapMs / size;
  return [
    {
      what: `CPU of a swap with ${size} addresses / ${size} x with one`,
      budget: `<= ${BUDGET.ratioPerAddress}`,
      measured: `${ratio.toFixed(2)} (${many.swapMs.toFixed(0)} ms / ${size} x ${one.swapMs.toFixed(0)} ms)`,
      met: ratio <= BUDGET.ratioPerAddress,
    },
    {
      what: `descriptors that ${SWAPS} swaps of ${size} addresses leave`,
      budget: `${BUDGET.grown}`,
      measured: `${many.grown} (of ${many.descriptors})`,
      met: many.grown <= BUDGET.grown,
    },
  ];
}

async function course(size: number): Promise<{ swapMs: number; descriptors: number; grown: number }> {
  await using light = await startLight(({ path }) => [
    ...["-w", "0", "--ready", "delay:0"],
    // Half of them of each kind: a port that the kernel chooses, and a path.
    ...Array.from({ length: size }, (_, n) => [
      "-b",
      n % 2 ? "127.0.0.1:0" : `unix:${path}/${n}.sock`,
    ]).flat(),
    ...["--", ...SLEEPER],
  ]);
  const { pid } = light.hupwatch;
  await light.swap();
  const before = await descriptorsOf(pid);
  const took: number[] = [];
  for (let n = 0; n < SWAPS; n++) took.push(await cpuMsIn(pid, light.swap));
  return { swapMs: median(took), descriptors: before, grown: (await descriptorsOf(pid)) - before };
}

/** The fewest in a while: files and listeners are open for moments. */
async function descriptorsOf(pid: number): Promise<number> {
  const seen: number[] = [];
  for (let look = 0; look < LOOKS; look++) {
    await Bun.sleep(LOOK_MS);
    seen.push(readdirSync(`/proc/${pid}/fd`).length);
  }
  return Math.min(...seen);
}
