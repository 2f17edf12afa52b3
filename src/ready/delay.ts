/** `delay:SEC`: ready when it has lived so long. The weakest check: it proves only that the process did not die. */
import type { Check } from "./check.ts";

export const delayCheck = (ms: number): Check => ({
  label: `delay:${ms / 1000}`,
  needs: [],
  start: ({ clock }, passed) => clock.after(ms, passed),
});
