/** Tests that mostly wait run side by side, but only so many: more would starve each other on two cores. */
const SIDE_BY_SIDE = 4;

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
