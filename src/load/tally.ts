/**
 * Keeps the books of a run: every request that was started is entered once, as good or as failed. Memory is bounded
 * whatever the number of requests: histograms, counters, one cell for each 100 ms, and failures in full up to a cap.
 */
import { build, type Histogram } from "hdr-histogram-js";
import type { Exchange } from "./connection.ts";
import type { Failure, FailureClass, FailureRecord, Phase } from "./outcome.ts";
import type { Kind } from "./plan.ts";

/** One hour in microseconds, the longest time limit there is; three digits are exact. */
const HIGHEST_US = 3_600_000_000;
const SERIES_BUCKET_MS = 100;
/** A day of 100 ms cells; what comes later goes into the last one. */
const SERIES_MAX = 864_000;

export const newHistogram = (): Histogram =>
  build({
    bitBucketSize: 32,
    numberOfSignificantValueDigits: 3,
    highestTrackableValue: HIGHEST_US,
    useWebAssembly: false,
  });

/** How many requests failed in exactly this way. */
export interface FailureCount {
  kind: Kind;
  class: FailureClass;
  phase: Phase;
  errno?: string;
  closeCode?: number;
  reused: boolean;
  count: number;
}

/** What happened in each 100 ms, by when the requests ended. */
export interface Series {
  bucketMs: number;
  ok: number[];
  failed: number[];
  /** Slowest good answer, from its intended start. */
  maxUs: number[];
}

export interface KindTally {
  started: number;
  ok: number;
  failed: number;
  /** Good answers, from the intended start, in microseconds. */
  latency: Histogram;
}

/** A stretch of the run that the caller named, e.g. a swap. */
export interface SegmentTally {
  name: string;
  ok: number;
  failed: number;
  latency: Histogram;
}

/** What a failed request's connection has to tell. */
export interface Received {
  /** Of the answer. */
  bytes: number;
  status: number;
  localPort: number | undefined;
}

/** Times are milliseconds since the run began. */
export class Tally {
  readonly kinds: Partial<Record<Kind, KindTally>> = {};
  /** Good answers, from when they were really sent, in microseconds. */
  readonly raw = newHistogram();
  /** Since it was last taken; for live display. */
  interval = newHistogram();
  readonly failureCounts = new Map<string, FailureCount>();
  readonly records: FailureRecord[] = [];
  recordsDropped = 0;
  readonly series: Series = { bucketMs: SERIES_BUCKET_MS, ok: [], failed: [], maxUs: [] };
  readonly segments: SegmentTally[] = [newSegment("base")];
  started = 0;
  ok = 0;
  failed = 0;
  /** The longest time without a good answer, and when it began. */
  longestGapMs = 0;
  longestGapFromMs = 0;
  #lastOkMs = 0;

  constructor(
    private readonly recordsMax: number,
    private readonly idOf: (n: number) => string,
  ) {}

  start(kind: Kind): void {
    this.started++;
    this.#kind(kind).started++;
  }

  good(exchange: Exchange, nowMs: number): void {
    const us = microseconds(nowMs - exchange.intendedMs);
    const kind = this.#kind(exchange.kind);
    kind.ok++;
    kind.latency.recordValue(us);
    this.raw.recordValue(microseconds(nowMs - exchange.startedMs));
    this.interval.recordValue(us);
    const segment = this.#segmentOf(exchange);
    if (segment !== undefined) {
      segment.ok++;
      segment.latency.recordValue(us);
    }
    const cell = this.#cell(nowMs);
    bump(this.series.ok, cell);
    if (us > (this.series.maxUs[cell] as number)) this.series.maxUs[cell] = us;
    this.ok++;
    this.gapUntil(nowMs);
    this.#lastOkMs = nowMs;
  }

  /** Returns all that is known of it; kept up to the cap. */
  bad(exchange: Exchange, failure: Failure, received: Received, nowMs: number): FailureRecord {
    const { kind } = exchange;
    this.#kind(kind).failed++;
    const segment = this.#segmentOf(exchange);
    if (segment !== undefined) segment.failed++;
    bump(this.series.failed, this.#cell(nowMs));
    this.failed++;
    this.#count(exchange, failure);
    const record = this.#recordOf(exchange, failure, received, nowMs);
    if (this.records.length < this.recordsMax) this.records.push(record);
    else this.recordsDropped++;
    return record;
  }

  #recordOf(
    { kind, reused, n, intendedMs, startedMs }: Exchange,
    failure: Failure,
    { bytes, status, localPort }: Received,
    endedMs: number,
  ): FailureRecord {
    return {
      id: this.idOf(n),
      kind,
      class: failure.class,
      phase: failure.phase,
      ...(failure.errno ? { errno: failure.errno } : {}),
      ...(failure.detail ? { detail: failure.detail } : {}),
      ...(failure.closeCode ? { closeCode: failure.closeCode } : {}),
      ...{ reused, intendedMs, startedMs, endedMs },
      ...(localPort ? { localPort } : {}),
      receivedBytes: bytes,
      ...(bytes > 0 && status > 0 ? { status } : {}),
    };
  }

  /** Names what comes next; a name that was there goes on. Returns its number, for exchanges. */
  segment(name: string): number {
    if (this.segments.length === 1) this.#seedBase();
    const known = this.segments.findIndex((s) => s.name === name);
    this.#current = known >= 0 ? known : this.segments.push(newSegment(name)) - 1;
    return this.#current;
  }

  get currentSegment(): number {
    return this.#current;
  }
  #current = 0;

  /** Also at the end of the run: an outage that never ended is one. */
  gapUntil(nowMs: number): void {
    if (nowMs - this.#lastOkMs <= this.longestGapMs) return;
    this.longestGapMs = nowMs - this.#lastOkMs;
    this.longestGapFromMs = this.#lastOkMs;
  }

  takeInterval(): Histogram {
    const taken = this.interval;
    this.interval = newHistogram();
    return taken;
  }

  /**
   * A request belongs to the named stretch it touched: to the one it began in, or, begun in the base, to the one it
   * ended in. So nothing that a swap slowed down is booked as steady.
   */
  #segmentOf(exchange: Exchange): SegmentTally | undefined {
    if (this.segments.length === 1) return undefined;
    return this.segments[exchange.segment === 0 ? this.#current : exchange.segment];
  }

  /** A run without segments does not pay for them, so the base starts with all that was. */
  #seedBase(): void {
    const base = this.segments[0] as SegmentTally;
    base.ok = this.ok;
    base.failed = this.failed;
    base.latency = merged(Object.values(this.kinds).map((kind) => kind.latency));
  }

  #count({ kind, reused }: Exchange, { class: cls, phase, errno, closeCode }: Failure): void {
    const key = `${kind} ${cls} ${phase} ${errno} ${closeCode} ${reused}`;
    const found = this.failureCounts.get(key);
    if (found) {
      found.count++;
      return;
    }
    const known = { ...(errno ? { errno } : {}), ...(closeCode ? { closeCode } : {}) };
    this.failureCounts.set(key, { kind, class: cls, phase, ...known, reused, count: 1 });
  }

  #kind(kind: Kind): KindTally {
    this.kinds[kind] ??= { started: 0, ok: 0, failed: 0, latency: newHistogram() };
    return this.kinds[kind];
  }

  #cell(nowMs: number): number {
    const { ok, failed, maxUs } = this.series;
    const cell = Math.min(SERIES_MAX - 1, Math.max(0, Math.floor(nowMs / SERIES_BUCKET_MS)));
    while (ok.length <= cell) {
      ok.push(0);
      failed.push(0);
      maxUs.push(0);
    }
    return cell;
  }
}

const newSegment = (name: string): SegmentTally => ({ name, ok: 0, failed: 0, latency: newHistogram() });

const bump = (counters: number[], at: number): void => {
  counters[at] = (counters[at] ?? 0) + 1;
};

const microseconds = (ms: number): number => Math.min(HIGHEST_US, Math.max(0, Math.round(ms * 1000)));

/** All kinds' latencies as one. */
export function merged(histograms: Iterable<Histogram>): Histogram {
  const sum = newHistogram();
  for (const one of histograms) sum.add(one);
  return sum;
}
