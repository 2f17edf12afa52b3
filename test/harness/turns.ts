/**
 * Tests that mostly wait run side by side, but only so many: more would starve each other on two cores. Where test/run.ts
 * has two files run at a time, each has half of that.
 */
const SIDE_BY_SIDE = process.env.BUN_TEST_WORKER_ID === undefined ? 4 : 2;

/** The limit of such a test. The wait for its turn counts, so it is one for all of a file; what is waited for has its own. */
export const TURN_TIMEOUT_MS = 600_000;

let taken = 0;
const waiting: (() => void)[] = [];

/** `using _turn = await takeTurn()` as the first line of a concurrent test. */
export async function takeTurn(): Promise<Disposable> {
  if (taken < SIDE_BY_SIDE) taken++;
  else await new Promise<void>((go) => waiting.push(go));
  return {
    [Symbol.dispose]: () => {
      const next = waiting.shift();
      if (next) next();
      else taken--;
    },
  };
}
