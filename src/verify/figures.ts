/** What the evidence amounts to, in figures: latency in and out of swaps, versions, gaps, timings, growth. Pure. */
import { lingers, MANNERS } from "../load/manners.ts";
import { type Percentiles, percentiles } from "../load/result.ts";
import { merged } from "../load/tally.ts";
import type { KeyFigures } from "./compare.ts";
import type { Evidence, Stage } from "./evidence.ts";
import type { Swap } from "./journal.ts";
import { countOf, type Loss } from "./losses.ts";
import { type Spread, slopeOf, spreadOf } from "./statistics.ts";
import type { TrafficMode, TrafficRun } from "./traffic.ts";

export interface LatencyPair {
  mode: TrafficMode | "all";
  steady: Percentiles;
  /** Of requests that touched a swap. */
  swap: Percentiles;
}

/** All but the bursts, whose requests wait for each other, and clients that take their time. */
export function latencyPairs(stage: Stage | undefined): LatencyPair[] {
  const runs = (stage?.runs ?? []).filter(({ mode }) => isPrompt(mode));
  const pair = (mode: LatencyPair["mode"], some: readonly TrafficRun[]): LatencyPair => ({
    mode,
    steady: percentiles(merged(some.flatMap(({ result }) => result.histograms.segments.get("base") ?? []))),
    swap: percentiles(merged(some.flatMap(({ result }) => result.histograms.segments.get("swap") ?? []))),
  });
  const pairs = runs.map((run) => pair(run.mode, [run]));
  return pairs.length > 1 ? [pair("all", runs), ...pairs] : pairs;
}

const isPrompt = (mode: TrafficMode): boolean =>
  mode === "mix" || (mode !== "burst" && !lingers(MANNERS[mode]));

/** In-swap over steady; undefined where one of them was not measured. */
export function ratioOf(pair: LatencyPair | undefined, of: (p: Percentiles) => number): number | undefined {
  if (!pair || pair.steady.count === 0 || pair.swap.count === 0) return undefined;
  return of(pair.swap) / Math.max(1, of(pair.steady));
}

/** Requests that were under way while a swap was going on: only they could be dropped by one. */
export const crossedBy = (stages: readonly Stage[]): number =>
  stages
    .flatMap((stage) => stage.runs)
    .flatMap(({ result }) => result.segments)
    .filter((segment) => segment.name === "swap")
    .reduce((sum, segment) => sum + segment.ok + segment.failed, 0);

export interface Gap {
  mode: TrafficMode;
  ms: number;
  fromMs: number;
}

/** The longest time without a good answer, of the runs that send often enough for it to mean something. */
export function gapsOf(stages: readonly Stage[]): Gap[] {
  const longest = new Map<TrafficMode, Gap>();
  for (const { mode, offsetMs, result } of stages.flatMap((stage) => stage.runs)) {
    if (!isPrompt(mode) || mode === "slow" || mode === "upload" || mode === "half-close") continue;
    const gap = { mode, ms: result.longestGapMs, fromMs: result.longestGapFromMs + offsetMs };
    if (gap.ms > (longest.get(mode)?.ms ?? -1)) longest.set(mode, gap);
  }
  return [...longest.values()];
}

/** What a later run is compared with. */
export function keyFiguresOf(
  { stages }: Evidence,
  swaps: Stage | undefined,
  losses: readonly Loss[],
): KeyFigures {
  const started = stages.flatMap((s) => s.runs).reduce((sum, { result }) => sum + result.started, 0);
  const [all] = latencyPairs(swaps);
  const gaps = gapsOf(stages).map((gap) => gap.ms);
  return {
    droppedPerMillion: started === 0 ? null : (countOf(losses, "drop", "race") * 1e6) / started,
    p99InSwapsUs: all?.swap.count ? all.swap.p99Us : null,
    p999InSwapsUs: all?.swap.count ? all.swap.p999Us : null,
    longestGapMs: gaps.length === 0 ? null : Math.max(...gaps),
    signalToReadyMs: timingsOf(swaps).signalToReadyMs?.p50 ?? null,
  };
}

export interface VersionSpan {
  version: string;
  count: number;
  firstMs: number;
  lastMs: number;
}

/** Versions in the order in which they first answered; `modes` chooses the runs. */
export function versionsOf(stage: Stage, takes: (mode: TrafficMode) => boolean): VersionSpan[] {
  const spans = new Map<string, VersionSpan>();
  for (const { mode, offsetMs, result } of stage.runs) {
    if (!takes(mode)) continue;
    for (const seen of result.versions) {
      const span = { firstMs: seen.firstMs + offsetMs, lastMs: seen.lastMs + offsetMs };
      const known = spans.get(seen.version);
      spans.set(seen.version, {
        version: seen.version,
        count: seen.count + (known?.count ?? 0),
        firstMs: Math.min(span.firstMs, known?.firstMs ?? span.firstMs),
        lastMs: Math.max(span.lastMs, known?.lastMs ?? span.lastMs),
      });
    }
  }
  return [...spans.values()].sort((a, b) => a.firstMs - b.firstMs);
}

/** A new connection for each request: it meets what accepts now. */
export const isFresh = (mode: TrafficMode): boolean => mode === "fresh" || mode === "burst";

/** How long two versions answered in turns at a change, by change. */
export const mixedMs = (spans: readonly VersionSpan[]): number[] =>
  spans.slice(1).map((next, i) => {
    const before = spans.slice(0, i + 1);
    return Math.max(0, ...before.map((span) => span.lastMs - next.firstMs));
  });

export interface Timings {
  signalToExecMs: Spread | undefined;
  execToReadyMs: Spread | undefined;
  /** The warm-up: both serve. */
  readyToDecidedMs: Spread | undefined;
  stopToGoneMs: Spread | undefined;
  /** From the signal, or the command's start, to ready. */
  signalToReadyMs: Spread | undefined;
  /** From the signal, or the command's start, to the first answer of a version that had not answered before. */
  signalToNewAnswerMs: Spread | undefined;
}

export function timingsOf(stage: Stage | undefined): Timings {
  const swaps = (stage?.swaps ?? []).filter((s) => s.outcome === "swapped");
  const between = (from: (s: Swap) => number | undefined, to: (s: Swap) => number | undefined) =>
    spreadOf(
      swaps.flatMap((s) => {
        const [a, b] = [from(s), to(s)];
        return a === undefined || b === undefined ? [] : [round(b - a)];
      }),
    );
  const spans = stage ? versionsOf(stage, () => true) : [];
  const firstAnswer = (s: Swap) => {
    const end = s.endMs ?? Number.POSITIVE_INFINITY;
    return spans.find((v) => v.firstMs >= s.startMs && v.firstMs <= end)?.firstMs;
  };
  return {
    signalToExecMs: between(
      (s) => (s.queued ? undefined : s.startMs),
      (s) => s.execMs,
    ),
    execToReadyMs: between(
      (s) => s.execMs,
      (s) => s.readyMs,
    ),
    readyToDecidedMs: between(
      (s) => s.readyMs,
      (s) => s.decidedMs,
    ),
    stopToGoneMs: between(
      (s) => s.stopMs,
      (s) => s.endMs,
    ),
    signalToReadyMs: between(
      (s) => s.startMs,
      (s) => s.readyMs,
    ),
    signalToNewAnswerMs: between((s) => s.startMs, firstAnswer),
  };
}

export interface Growth {
  /** Of hupwatch itself, by least squares from the second sample on; undefined for fewer than three. */
  rssKbPerSwap: number | undefined;
  treeRssKbPerSwap: number | undefined;
  /** Last against second sample: over TCP the first swap adds a listener that every later one uses again. */
  descriptors: number | undefined;
  processes: number | undefined;
  socketFiles: number | undefined;
}

/** One sample is taken after each quiet stretch, so there is one for each swap and one before. */
export function growthOf({ samples, stages }: Evidence): Growth {
  // Chaos may start another hupwatch: its memory does not compare.
  const end = stages.find((s) => s.name !== "swaps")?.startMs ?? Number.POSITIVE_INFINITY;
  const swaps = samples.filter((s) => s.atMs <= end);
  const [first, last] = [swaps[1], swaps.at(-1)];
  const grown = (of: (s: NonNullable<typeof first>) => number | undefined) => {
    const [a, b] = [first && of(first), last && of(last)];
    return a === undefined || b === undefined ? undefined : b - a;
  };
  return {
    rssKbPerSwap: slopeOf(swaps.slice(1).map((s) => s.rssKb)),
    treeRssKbPerSwap: slopeOf(swaps.slice(1).map((s) => s.treeRssKb)),
    descriptors: grown((s) => s.descriptors),
    processes: grown((s) => s.processes),
    socketFiles: grown((s) => s.socketFiles),
  };
}

const round = (ms: number): number => Math.round(ms * 10) / 10;
