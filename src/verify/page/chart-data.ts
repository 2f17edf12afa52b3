/** The report's series as the page's charts want them: one time axis over all stages, thinned out where it is long. Pure. */
import { isKeepAliveRace } from "../../load/outcome.ts";
import type { VerifyReport } from "../report.ts";

/** More points than pixels show nothing more and weigh. */
const POINTS_MAX = 3000;
const MARKS_MAX = 2000;

export interface ChartData {
  /** Seconds since the run began. */
  x: number[];
  /** A second. */
  okPerSecond: number[];
  /** In that cell; null: none, so that nothing is drawn. */
  dropped: (number | null)[];
  /** Slowest good answer in each cell, in milliseconds; null: no answer. */
  slowest: { mode: string; ms: (number | null)[] }[];
  swaps: { from: number; flip: number | null; to: number; outcome: string; kind: string; label: string }[];
  /** Dropped requests by when they ended, alike ones within a cell as one, where the first of them was. */
  marks: { x: number; class: string; mode: string; count: number }[];
  samples: { x: number[]; rssMb: number[]; treeRssMb: number[]; descriptors: number[]; processes: number[] };
}

export function chartDataOf(report: VerifyReport): ChartData {
  const runs = report.stages.flatMap((stage) => stage.runs);
  const bucketMs = runs[0]?.load.series.bucketMs ?? 100;
  const step = Math.max(1, Math.ceil(report.elapsedMs / bucketMs / POINTS_MAX));
  const cellMs = bucketMs * step;
  const cells = Math.ceil(report.elapsedMs / cellMs) + 1;
  const ok = new Array<number>(cells).fill(0);
  const dropped = new Array<number>(cells).fill(0);
  const slowest = new Map<string, (number | null)[]>();
  for (const { mode, offsetMs, load } of runs) {
    const mine = slowest.get(mode) ?? new Array<number | null>(cells).fill(null);
    slowest.set(mode, mine);
    for (const [i, answers] of load.series.ok.entries()) {
      const cell = Math.min(cells - 1, Math.max(0, Math.floor((offsetMs + i * bucketMs) / cellMs)));
      ok[cell] = (ok[cell] as number) + answers;
      dropped[cell] = (dropped[cell] as number) + (load.series.failed[i] ?? 0);
      if (answers > 0) mine[cell] = Math.max(mine[cell] ?? 0, (load.series.maxUs[i] ?? 0) / 1000);
    }
  }
  return {
    x: ok.map((_, i) => (i * cellMs) / 1000),
    okPerSecond: ok.map((n) => Math.round((n * 1000) / cellMs)),
    dropped: dropped.map((n) => (n === 0 ? null : n)),
    slowest: [...slowest].map(([mode, ms]) => ({ mode, ms })),
    swaps: swapsOf(report),
    marks: marksOf(report, cellMs),
    samples: {
      x: report.samples.map((s) => round(s.atMs / 1000)),
      rssMb: report.samples.map((s) => round(s.rssKb / 1024)),
      treeRssMb: report.samples.map((s) => round(s.treeRssKb / 1024)),
      descriptors: report.samples.map((s) => s.descriptors),
      processes: report.samples.map((s) => s.processes),
    },
  };
}

function swapsOf(report: VerifyReport): ChartData["swaps"] {
  return report.stages
    .flatMap((stage) => stage.swaps.map((swap) => ({ swap, end: swap.endMs ?? stage.endMs })))
    .map(({ swap, end }) => ({
      from: round(swap.startMs / 1000),
      flip: swap.readyMs === undefined ? null : round(swap.readyMs / 1000),
      to: round(end / 1000),
      outcome: swap.outcome,
      kind: swap.kind,
      label: swap.kind === "swap" ? "" : swap.kind,
    }));
}

function marksOf(report: VerifyReport, cellMs: number): ChartData["marks"] {
  const marks = new Map<string, ChartData["marks"][number]>();
  for (const { mode, offsetMs, load } of report.stages.flatMap((stage) => stage.runs))
    for (const failure of load.failureRecords) {
      const name = isKeepAliveRace(failure) ? "keep-alive race" : failure.class;
      const cell = Math.floor((failure.endedMs + offsetMs) / cellMs);
      const key = `${cell} ${name} ${mode}`;
      const known = marks.get(key);
      if (known) known.count++;
      else if (marks.size < MARKS_MAX)
        marks.set(key, { x: round((failure.endedMs + offsetMs) / 1000), class: name, mode, count: 1 });
    }
  return [...marks.values()].sort((a, b) => a.x - b.x);
}

const round = (n: number): number => Math.round(n * 1000) / 1000;
