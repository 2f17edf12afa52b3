/**
 * Processes that have escaped from a generation's tree and outlive it. Which generation one came from cannot be known: it is named
 * once, when a generation is gone that it may have come from, and left alone.
 */
import type { Os } from "../os/os.ts";
import type { Identity, Process } from "../os/procfs.ts";

export class Escaped {
  readonly #told = new Set<string>();

  constructor(private readonly os: Os) {}

  /** Those that began in this time, in clock ticks since boot, and are in no tree of the `living`. */
  between(begin: number, end: number, living: () => readonly Process[]): Process[] {
    const isNew = (p: Process) => p.startTime >= begin && p.startTime < end && !this.#told.has(keyOf(p));
    const strays = this.os.strays().filter(isNew);
    // Most often there is none, and each tree is a look through all of /proc.
    if (strays.length === 0) return [];
    const claimed = new Set(living().map((p) => p.pid));
    const escaped = strays.filter((p) => !claimed.has(p.pid));
    for (const process of escaped) this.#told.add(keyOf(process));
    return escaped;
  }
}

const keyOf = ({ pid, startTime }: Identity): string => `${pid} ${startTime}`;
