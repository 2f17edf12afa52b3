/** What a run of the load generator found: plain data, but for the histograms. `--json` prints it; the schema is stable. */
import type { Histogram } from "hdr-histogram-js";
import type { DangerCount } from "./dangers.ts";
import { FAILURE_CLASSES, type FailureRecord } from "./outcome.ts";
import type { Kind, LoadPlan, Mode } from "./plan.ts";
import { type FailureCount, merged, type Series, type Tally } from "./tally.ts";
import type { VersionSeen } from "./versions.ts";

/** Microseconds. */
export interface Percentiles {
  count: number;
  meanUs: number;
  p50Us: number;
  p90Us: number;
  p99Us: number;
  p999Us: number;
  p9999Us: number;
  maxUs: number;
}

/** Fields are only ever added under this name. Times are milliseconds since `startedAt` unless the name says otherwise. */
export interface LoadReport {
  schema: "hupwatch-load/1";
  target: string;
  mode: Mode;
  connections: number;
  /** Null: closed loop. */
  rate: number | null;
  /** ISO 8601. */
  startedAt: string;
  elapsedMs: number;
  /** Requests that were to be made: started + missed. */
  scheduled: number;
  /** started = ok + failed + inFlight. */
  started: number;
  ok: number;
  failed: number;
  /** Slots that fell due and never found a free connection. */
  missed: number;
  /** At the end: always 0, asserted. */
  inFlight: 0;
  okPerSecond: number;
  /** Good answers, from the intended start: what a user waited. */
  latency: Percentiles;
  /** Good answers, from when they were really sent. */
  rawLatency: Percentiles;
  kinds: Partial<Record<Kind, { started: number; ok: number; failed: number; latency: Percentiles }>>;
  failures: FailureCount[];
  /** In full, up to a cap; `failureRecordsDropped` more were only counted. */
  failureRecords: FailureRecord[];
  failureRecordsDropped: number;
  connectionsOpened: number;
  /** Kept connections that the server closed between two requests: its right, and no failure. */
  idleCloses: number;
  /** Idle connections that got bytes without a request: a server's answer too many. */
  unaskedBytes: number;
  versions: VersionSeen[];
  /** Answers from an older version to requests sent after a newer one had answered. */
  versionRegressions: number;
  /** How many clients were in which danger at the instants that were marked. */
  dangers: DangerCount[];
  longestGapMs: number;
  longestGapFromMs: number;
  segments: { name: string; ok: number; failed: number; latency: Percentiles }[];
  series: Series;
  /** Every id is `prefix` and ten digits, counted up from 0 to `started` - 1. */
  ids: { prefix: string; count: number };
  generator: GeneratorHealth;
}

export interface GeneratorHealth {
  /** The generator, not the server, was what this run measured: its figures judge nothing. */
  limited: boolean;
  /** Why, for people. */
  reasons: string[];
  /** How late our own timer was, open loop only. */
  lag: Percentiles;
}

export interface LoadResult extends LoadReport {
  /** Good answers in microseconds; not part of the JSON. */
  histograms: { latency: Histogram; raw: Histogram; segments: Map<string, Histogram> };
}

/** What the engine knows beside the books. */
export interface RunFacts {
  startedAt: Date;
  elapsedMs: number;
  missed: number;
  connectionsOpened: number;
  idleCloses: number;
  unaskedBytes: number;
  versions: VersionSeen[];
  versionRegressions: number;
  dangers: DangerCount[];
  idPrefix: string;
  lag: Histogram;
}

export function makeResult(plan: LoadPlan, tally: Tally, facts: RunFacts): LoadResult {
  const kinds = Object.entries(tally.kinds);
  const latency = merged(kinds.map(([, kind]) => kind.latency));
  return {
    schema: "hupwatch-load/1",
    target: plan.target.text,
    mode: plan.mode,
    connections: plan.connections,
    rate: plan.rate ?? null,
    startedAt: facts.startedAt.toISOString(),
    elapsedMs: micro(facts.elapsedMs),
    scheduled: tally.started + facts.missed,
    started: tally.started,
    ok: tally.ok,
    failed: tally.failed,
    missed: facts.missed,
    inFlight: 0,
    okPerSecond: micro((tally.ok * 1000) / Math.max(1, facts.elapsedMs)),
    latency: percentiles(latency),
    rawLatency: percentiles(tally.raw),
    kinds: Object.fromEntries(
      kinds.map(([name, kind]) => [name, { ...kind, latency: percentiles(kind.latency) }]),
    ),
    failures: [...tally.failureCounts.values()].sort(byClass),
    failureRecords: tally.records.map(rounded),
    failureRecordsDropped: tally.recordsDropped,
    connectionsOpened: facts.connectionsOpened,
    idleCloses: facts.idleCloses,
    unaskedBytes: facts.unaskedBytes,
    versions: facts.versions.map(rounded),
    versionRegressions: facts.versionRegressions,
    dangers: facts.dangers,
    longestGapMs: micro(tally.longestGapMs),
    longestGapFromMs: micro(tally.longestGapFromMs),
    segments: tally.segments.map((s) => ({ ...s, latency: percentiles(s.latency) })),
    series: tally.series,
    ids: { prefix: facts.idPrefix, count: tally.started },
    generator: judgeGenerator(plan, tally, facts),
    histograms: {
      latency,
      raw: tally.raw,
      segments: new Map(tally.segments.map((s) => [s.name, s.latency])),
    },
  };
}

/** The part that is plain data. */
export function reportOf(result: LoadResult): LoadReport {
  const { histograms: _, ...report } = result;
  return report;
}

/** A histogram's cells have a width; no percentile may lie above the greatest value that came. */
export function percentiles(h: Histogram): Percentiles {
  const at = (percent: number) => Math.min(h.maxValue, h.getValueAtPercentile(percent));
  return {
    count: h.totalCount,
    meanUs: Math.round(h.mean),
    p50Us: at(50),
    p90Us: at(90),
    p99Us: at(99),
    p999Us: at(99.9),
    p9999Us: at(99.99),
    maxUs: h.maxValue,
  };
}

function judgeGenerator(plan: LoadPlan, tally: Tally, facts: RunFacts): GeneratorHealth {
  const reasons: string[] = [];
  const scheduled = tally.started + facts.missed;
  if (facts.missed > plan.missedMax * scheduled)
    reasons.push(`${facts.missed} of ${scheduled} slots found all ${plan.connections} connections busy`);
  const local = [...tally.failureCounts.values()]
    .filter((f) => FAILURE_CLASSES[f.class].blame === "generator")
    .reduce((sum, f) => sum + f.count, 0);
  if (local > 0) reasons.push(`${local} requests found no descriptor or port left on this machine`);
  return { limited: reasons.length > 0, reasons, lag: percentiles(facts.lag) };
}

const CLASS_ORDER = Object.keys(FAILURE_CLASSES);
const byClass = (a: FailureCount, b: FailureCount) =>
  CLASS_ORDER.indexOf(a.class) - CLASS_ORDER.indexOf(b.class) || b.count - a.count;

/** Milliseconds to the microsecond: more digits are noise. */
const micro = (ms: number): number => Math.round(ms * 1000) / 1000;

function rounded<T extends object>(record: T): T {
  const entries = Object.entries(record).map(([key, value]) => [
    key,
    key.endsWith("Ms") && typeof value === "number" ? micro(value) : value,
  ]);
  return Object.fromEntries(entries) as T;
}
