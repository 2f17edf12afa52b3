/**
 * Throws random input at everything that reads bytes from outside. It may give a valid result or a HupwatchError, and nothing
 * else, and soon. The inputs follow from the seed: `HUPWATCH_SEED=WORD` plays a run again.
 */
import { HupwatchError } from "../../src/error.ts";
import { Random } from "../swap/random.ts";
import { Mutator } from "./mutator.ts";

export interface Target {
  name: string;
  /** What stands in its inputs. */
  dictionary?: readonly string[];
  /** One input: made, read, and what came of it looked at. Returns whether it was taken, and shows it. */
  once(mutator: Mutator, show: (input: unknown) => void): boolean;
}

export interface Counts {
  name: string;
  taken: number;
  refused: number;
  /** The slowest input. */
  worstMs: number;
}

/** Far longer than any of them needs on a busy machine, and far shorter than for ever. */
const ONE_INPUT_MS = 2000;
/** However slow the machine is. */
const INPUTS_MIN = 100;

export const { HUPWATCH_SEED } = process.env;
export const seedWord = HUPWATCH_SEED ?? String(crypto.getRandomValues(new Uint32Array(1))[0]);

export function fuzz({ name, dictionary, once }: Target, word: string, forMs: number): Counts {
  const mutator = new Mutator(new Random(Bun.hash.crc32(`${word} ${name}`)), dictionary);
  const counts: Counts = { name, taken: 0, refused: 0, worstMs: 0 };
  const endAt = performance.now() + forMs;
  const isEnough = (now: number) => now >= endAt && counts.taken + counts.refused >= INPUTS_MIN;
  for (let from = performance.now(); !isEnough(from); ) {
    let input: unknown;
    const isTaken = judged(
      () =>
        once(mutator, (shown) => {
          input = shown;
        }),
      (problem) =>
        new Error(
          `${name}: input ${counts.taken + counts.refused}: ${problem}\n` +
            `again: HUPWATCH_SEED=${word} bun test test/fuzz\n${Bun.inspect(input)}`,
        ),
    );
    counts[isTaken ? "taken" : "refused"]++;
    const now = performance.now();
    counts.worstMs = Math.max(counts.worstMs, now - from);
    if (now - from > ONE_INPUT_MS)
      throw new Error(`${name}: ${Math.round(now - from)} ms for one input\n${Bun.inspect(input)}`);
    from = now;
  }
  return counts;
}

function judged(run: () => boolean, failure: (problem: string) => Error): boolean {
  try {
    return run();
  } catch (error) {
    if (error instanceof HupwatchError) return false;
    throw failure(error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error));
  }
}
