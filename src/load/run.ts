/** How a run of the load generator is watched and led: what `startLoad` takes and gives. */
import type { FailureRecord } from "./outcome.ts";
import type { LoadResult, Percentiles } from "./result.ts";

export interface LoadOptions {
  /** Aborting ends the run in good order: nothing more falls due, what is due or in flight gets its time limit. */
  signal?: AbortSignal;
  onTick?: (snapshot: LoadSnapshot) => void;
  /** Default 200. */
  tickMs?: number;
  /** Called for each failure as it happens, also beyond those that the result keeps. */
  onFailure?: (failure: FailureRecord) => void;
}

/** Where a run stands. */
export interface LoadSnapshot {
  elapsedMs: number;
  started: number;
  ok: number;
  failed: number;
  missed: number;
  inFlight: number;
  /** Good answers since the last tick, from their intended start. */
  interval: Percentiles;
  intervalMs: number;
}

export interface LoadRun {
  /** The result, when everything has ended. Rejects only for a bug in here. */
  readonly done: Promise<LoadResult>;
  /** performance.now() of the run's zero: what the result's milliseconds count from. */
  readonly originMs: number;
  /** Sends so many requests at once, each on a new connection, beyond the plan's rate and connections. */
  burst(requests: number): void;
  /** Has so many of every hundred `late` clients that wait in silence speak now. */
  release(percent: number): void;
  /** Notes in which danger each client is at this instant, by its name, e.g. "flipped". */
  mark(instant: string): void;
  /** Names the stretch that begins now, e.g. "swap"; "base" is the rest. The result has percentiles for each. */
  segment(name: string): void;
}
