import { expect, test } from "bun:test";
import { type HupwatchEvent, parseEvent } from "../../src/verify/event-feed.ts";
import { swapsOf } from "../../src/verify/journal.ts";

/** `ms event generation [retired]`, one a line. */
const log = (text: string): HupwatchEvent[] =>
  text
    .trim()
    .split("\n")
    .map((line) => {
      const [ms, event, generation, retired] = line.trim().split(" ");
      const facts = { generation: Number(generation), ...(retired ? { retired: Number(retired) } : {}) };
      const time = new Date(Number(ms)).toISOString();
      return parseEvent(
        JSON.stringify({ time, level: "info", event, pid: 1, message: `${event}`, ...facts }),
      );
    })
    .filter((event) => event !== undefined);

const swaps = (text: string, ...signalsMs: number[]) =>
  swapsOf(log(text), { kind: "swap", signalsMs, at: (event) => event.timeMs });

test("a swap has its phases and what served before and after", () => {
  const [swap, ...others] = swaps(
    `105 generation.started 2
     400 generation.ready 2
     1400 swap.done 2 1
     1700 generation.gone 1`,
    100,
  );
  expect(others).toEqual([]);
  expect(swap).toMatchObject({
    ...{ startMs: 100, execMs: 105, readyMs: 400, decidedMs: 1400, endMs: 1700 },
    ...{ queued: false, outcome: "swapped", from: 1, to: 2 },
  });
});

test("a rolled-back one ends when the failed generation is gone", () => {
  const [swap] = swaps(
    `105 generation.started 2
     300 swap.rolled-back 2
     350 generation.gone 2`,
    100,
  );
  expect(swap).toMatchObject({ outcome: "rolled-back", endMs: 350, why: "swap.rolled-back" });
  expect(swap?.readyMs).toBeUndefined();
});

test("HUPs during a swap are one more, which starts when the first is decided", () => {
  const found = swaps(
    `105 generation.started 2
     400 generation.ready 2
     1400 swap.done 2 1
     1401 generation.started 3
     1700 generation.gone 1
     1800 generation.ready 3
     2800 swap.done 3 2
     2900 generation.gone 2`,
    100,
    200,
    300,
  );
  expect(found).toMatchObject([
    { to: 2, queued: false, endMs: 1700 },
    { to: 3, queued: true, startMs: 1400, endMs: 2900 },
  ]);
});

test("one that was never decided has failed", () => {
  expect(swaps("105 generation.started 2", 100)).toMatchObject([{ outcome: "failed" }]);
});

test("what is not one of hupwatch's records is no event", () => {
  const EVENT = '{"time":"2026-01-02T03:04:05.006Z","level":"info","event":"x.y","pid":7,"message":"m"}';
  expect(parseEvent(EVENT)).toMatchObject({ event: "x.y", pid: 7, message: "m" });
  for (const text of ["", "hello", "null", "[]", '{"time":"now"}', '{"event":"x"}', EVENT.slice(0, -1)])
    expect(parseEvent(text)).toBeUndefined();
});
