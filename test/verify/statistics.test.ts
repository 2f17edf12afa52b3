import { expect, test } from "bun:test";
import { slopeOf, spreadOf, upperBound95 } from "../../src/verify/statistics.ts";

test("the 95 % bound is the rule of three for none, and Poisson's exact one for more", () => {
  // Half of chi-square's 95 % quantile with 2k + 2 degrees of freedom, from a table.
  const TABLE: [seen: number, bound: number][] = [
    [0, 2.996],
    [1, 4.744],
    [2, 6.296],
    [10, 16.96],
    [100, 118.1],
  ];
  for (const [seen, bound] of TABLE) expect(upperBound95(seen) / bound).toBeCloseTo(1, 3);
  // Where the exact sum hands over to the approximation.
  expect(upperBound95(201) - upperBound95(200)).toBeCloseTo(1.05, 1);
});

test("the slope is that of the line through the points, and none for two", () => {
  expect(slopeOf([10, 13, 16, 19])).toBeCloseTo(3);
  expect(slopeOf([5, 5, 5])).toBe(0);
  expect(slopeOf([1, 2])).toBeUndefined();
});

test("a spread is of values that were measured", () => {
  expect(spreadOf([])).toBeUndefined();
  expect(spreadOf([7])).toEqual({ count: 1, p50: 7, p99: 7, max: 7 });
  expect(spreadOf([4, 1, 3, 2])).toEqual({ count: 4, p50: 2, p99: 4, max: 4 });
});
