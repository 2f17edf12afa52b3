/**
 * The fuzz for as long as one likes: `bun test/fuzz/main.ts [--seconds 20]`, so long for each reader; HUPWATCH_SEED=WORD plays a
 * run again. `bun run soak` ends with it. Exit code 1 where something was neither taken nor refused.
 */
import { parseArgs } from "node:util";
import { table } from "../../fixtures/demo/text.ts";
import { type Counts, fuzz, seedWord } from "./fuzz.ts";
import { removePlace, TARGETS } from "./targets.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "20" } } });

console.log(`fuzz, ${values.seconds} s for each reader: HUPWATCH_SEED=${seedWord}\n`);
const counts: Counts[] = [];
let failed = 0;
for (const target of TARGETS) {
  try {
    counts.push(fuzz(target, seedWord, Number(values.seconds) * 1000));
  } catch (error) {
    failed++;
    console.log(error instanceof Error ? error.message : error);
  }
}
removePlace();
const rows = counts.map((c) => [
  c.name,
  `${c.taken + c.refused}`,
  `${c.taken}`,
  `${c.worstMs.toFixed(1)} ms`,
]);
console.log(table([["reader", "inputs", "taken", "slowest"], ...rows]).join("\n"));
process.exit(failed > 0 ? 1 : 0);
