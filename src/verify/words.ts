/** Numbers as people read them, the same in every report. */
export const count = (n: number): string => n.toLocaleString("en-US");

export const plural = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? "" : "s"}`;

/** Of milliseconds. */
export function ms(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 || Number.isInteger(value) ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`;
}

/** Of microseconds. */
export const us = (value: number): string => `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} ms`;
