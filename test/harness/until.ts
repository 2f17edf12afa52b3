/** Waiting for conditions, never for a time. */
import { setTimeout as after } from "node:timers/promises";

export interface UntilOptions {
  /** Default a minute: what takes a second here takes thirty on a machine that does much else. It ends a test that would wait for ever. */
  timeoutMs?: number;
  /** Between two looks; default 5 ms. */
  everyMs?: number;
  /** What is waited for, in the words of the failure: `waited 30 s for ${what}`. */
  what: string;
  /** Added to the failure, e.g. the log so far. */
  context?: () => string;
}

type Truthy<T> = Exclude<T, false | 0 | "" | null | undefined>;

/** Looks until `look` returns something truthy, and returns that. Throws at the deadline. What `look` throws is not caught. */
export async function until<T>(look: () => T | Promise<T>, options: UntilOptions): Promise<Truthy<T>> {
  const { timeoutMs = 60_000, everyMs = 5, what, context } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen as Truthy<T>;
    if (performance.now() > deadline) {
      const more = context ? `\n${context()}` : "";
      throw new Error(`waited ${timeoutMs / 1000} s for ${what}${more}`);
    }
    await after(everyMs);
  }
}
