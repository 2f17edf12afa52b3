/**
 * One JSON line a failure, written as it happens, so that it can be joined with the logs of the server and of what is in
 * front of it: by the id, by the wall clock, by the client's port. An aid: where it cannot be written, the run goes on.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import type { FailureRecord } from "./outcome.ts";

/** What the caller knows beside the record, e.g. the mode and the generation that serves. */
export type Circumstances = Record<string, string | number | undefined>;

export class FailureLog implements Disposable {
  readonly #fd: number;
  /** Why it could not be written to the end; undefined: it is complete. */
  problem: string | undefined;

  /** Empties the file. Throws where it cannot be opened. */
  constructor(file: string) {
    this.#fd = openSync(file, "w");
  }

  /** `unixZeroMs`: the wall clock at the record's zero. */
  write(record: FailureRecord, unixZeroMs: number, circumstances: Circumstances = {}): void {
    const { intendedMs, startedMs, endedMs, ...rest } = record;
    const iso = (ms: number) => new Date(unixZeroMs + ms).toISOString();
    const times = { time: iso(endedMs), started: iso(startedMs), due: iso(intendedMs) };
    try {
      writeSync(this.#fd, `${JSON.stringify({ ...times, ...circumstances, ...rest })}\n`);
    } catch (error) {
      this.problem ??= (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** The wall clock at a performance.now() of this process, as it stands now. */
export const unixZeroOf = (originMs: number): number => Date.now() - (performance.now() - originMs);
