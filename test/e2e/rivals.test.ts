/** One row of `bun run bench:rivals`, and today's hupwatch beside it: the judge that passes the one fails the other. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { RIVALS } from "../bench/rivals/contenders.ts";
import { PYPI } from "../bench/rivals/installed.ts";
import type { Rival } from "../bench/rivals/rival.ts";
import { isHere } from "../bench/rivals/table.ts";
import { judged } from "../bench/rivals/turn.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";

setDefaultTimeout(180_000);

const PACE = { swaps: 1, rate: 50, modes: "fresh" };
const onUnix = RIVALS.filter(
  ({ server, transport }) => server.startsWith("gunicorn") && transport === "unix",
);
const rowOf = (is: (rival: Rival) => boolean): Rival => {
  const row = onUnix.find(is);
  if (!row) throw new Error("the table has no such row");
  return row;
};
const first = rowOf(({ needs }) => needs.includes(PYPI.hupwatch));
const today = rowOf(({ isHupwatch }) => isHupwatch === true);

// gunicorn unlinks at its exit the path that its successor has just bound.
test
  .skipIf(!isHere(first))
  .concurrent(
    "the first hupwatch, of 2016, drops what comes after its HUP (needs hupwatch 0.0.3 of PyPI)",
    async () => {
      const { dropped, started } = await judged(first, PACE, LAUNCHER);
      // All that came from then on; or, where the new one was slower than the second that it gets, until it had bound.
      expect(dropped["connect-missing"]).toBeGreaterThan(0);
      expect(started).toBeGreaterThan(dropped["connect-missing"] ?? 0);
    },
  );

test.concurrent("today's drops nothing by the same judge, load and server", async () => {
  const { dropped, older, started, swapped } = await judged(today, PACE, LAUNCHER);
  expect({ dropped, older, swapped }).toEqual({ dropped: {}, older: 0, swapped: 1 });
  expect(started).toBeGreaterThan(100);
});
