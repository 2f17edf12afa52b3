import { expect, test } from "bun:test";
import { mixOf } from "../../src/verify/chaos.ts";
import { compared, type KeyFigures, keyFiguresIn } from "../../src/verify/compare.ts";

const FIGURES: KeyFigures = {
  ...{
    droppedPerMillion: 0,
    p99InSwapsUs: 2000,
    p999InSwapsUs: 4000,
    longestGapMs: 10,
    signalToReadyMs: null,
  },
};

test("each figure beside what it was; what was not measured is left out", () => {
  const now = { ...FIGURES, droppedPerMillion: 5, p99InSwapsUs: 3000, longestGapMs: 5, signalToReadyMs: 7 };
  expect(compared(FIGURES, now)).toEqual([
    { figure: "droppedPerMillion", before: 0, now: 5, ratio: null },
    { figure: "p99InSwapsUs", before: 2000, now: 3000, ratio: 1.5 },
    { figure: "p999InSwapsUs", before: 4000, now: 4000, ratio: 1 },
    { figure: "longestGapMs", before: 10, now: 5, ratio: 0.5 },
  ]);
  expect(compared(FIGURES, FIGURES).every(({ ratio }) => ratio === 1)).toBe(true);
});

test("only a report of verify has them", () => {
  expect(keyFiguresIn({ schema: "hupwatch-verify/1", figures: FIGURES })).toEqual(FIGURES);
  for (const other of [undefined, null, 1, "x", [], {}, { schema: "hupwatch-load/1", figures: FIGURES }])
    expect(keyFiguresIn(other)).toBeUndefined();
});

test("a mix is the same for the same seed, and has each kind", () => {
  const kinds = ["crash", "storm"] as const;
  const seed = Math.floor(Math.random() * 2 ** 32);
  expect(mixOf(seed, 100, kinds)).toEqual(mixOf(seed, 100, kinds));
  expect({ seed, kinds: new Set(mixOf(seed, 100, kinds)) }).toEqual({
    seed,
    kinds: new Set(["swap", ...kinds]),
  });
  expect(mixOf(seed, 0, kinds)).toEqual([]);
});
