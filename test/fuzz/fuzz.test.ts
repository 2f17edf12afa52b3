/** Some seconds of random input; `bun run soak` goes on for longer. HUPWATCH_SEED=WORD plays a run again. */
import { afterAll, expect, test } from "bun:test";
import { type Counts, fuzz, HUPWATCH_SEED, seedWord } from "./fuzz.ts";
import { removePlace, TARGETS } from "./targets.ts";

/** A run that is played again must come as far, on a slower machine, too. */
const FOR_MS = HUPWATCH_SEED === undefined ? 300 : 3000;

const counted: Counts[] = [];
console.log(`fuzz: HUPWATCH_SEED=${seedWord}`);
afterAll(() => {
  removePlace();
  for (const { name, taken, refused, worstMs } of counted)
    console.log(`fuzz: ${name}: ${taken + refused} inputs, ${taken} taken, worst ${worstMs.toFixed(1)} ms`);
});

test.each(TARGETS.map((target) => [target.name, target] as const))(
  "%s: taken or refused, and soon",
  (_, target) => {
    const counts = fuzz(target, seedWord, FOR_MS);
    counted.push(counts);
    // A mutator that only ever makes rubbish would prove little.
    expect(counts.taken).toBeGreaterThan(0);
  },
);
