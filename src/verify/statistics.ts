/** The little statistics that the verdict rests on. Pure. */

/**
 * The 95 % upper bound on an expected count of which `seen` were seen (one-sided, Poisson, exact): 3.0 for 0, which is
 * the rule of three; 4.7 for 1. Divided by the number of trials it bounds the rate.
 */
export function upperBound95(seen: number): number {
  // Wilson and Hilferty's approximation is good to a thousandth where the sum below would be long.
  if (seen > 200) {
    const n = seen + 1;
    return n * (1 - 1 / (9 * n) + 1.6449 / (3 * Math.sqrt(n))) ** 3;
  }
  let low = seen;
  let high = seen + 10 + 5 * Math.sqrt(seen + 1);
  while (high - low > 1e-6 * high) {
    const middle = (low + high) / 2;
    if (atMost(seen, middle) > 0.05) low = middle;
    else high = middle;
  }
  return high;
}

/** The chance of `k` or fewer where `expected` are expected. */
function atMost(k: number, expected: number): number {
  let term = Math.exp(-expected);
  let sum = term;
  for (let i = 1; i <= k; i++) {
    term *= expected / i;
    sum += term;
  }
  return sum;
}

/** Least squares, over x = 0, 1, 2 ...; undefined for fewer than three points, through which any line goes. */
export function slopeOf(ys: readonly number[]): number | undefined {
  const n = ys.length;
  if (n < 3) return undefined;
  const meanX = (n - 1) / 2;
  const meanY = ys.reduce((a, b) => a + b, 0) / n;
  let above = 0;
  let below = 0;
  for (const [x, y] of ys.entries()) {
    above += (x - meanX) * (y - meanY);
    below += (x - meanX) ** 2;
  }
  return above / below;
}

export interface Spread {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

/** Undefined for nothing. Nearest rank: every figure is one that was measured. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
  return { count: sorted.length, p50: rank(0.5), p99: rank(0.99), max: rank(1) };
}
