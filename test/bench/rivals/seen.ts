/** What one turn showed. Pure. */
import type { VerifyReport } from "../../../src/verify/report.ts";

/** Of one turn; milliseconds. */
export interface Seen {
  started: number;
  /** On new connections, by class. */
  dropped: Record<string, number>;
  /** On kept connections, most of which their server closed as it stopped; a GET among them is a keep-alive race. */
  keptDropped: Record<string, number>;
  /** Answers of an older version on new connections, after a newer one had answered. */
  older: number;
  /** Clients that were silent until the stop signal, where there were any. */
  late: { started: number; lost: number };
  /** Of all others, on new and on kept connections. */
  othersLost: number;
  mixedMs: number;
  /** p99.9 of requests that touched a swap over the steady one; null where one of them was not measured. */
  ratio: number | null;
  gapMs: number;
  wrapperKb: number | undefined;
  /** From the reload's start to the first answer of the new version, and until the old one is gone: medians. */
  servesMs: number | null;
  overMs: number | null;
  swapped: number;
  swaps: number;
  /** The load could not keep its pace: its times are noise. */
  limited: boolean;
}

const LOST: ReadonlySet<string> = new Set(["drop", "race", "integrity"]);

export function seenIn(report: VerifyReport, wrapperKb?: number): Seen {
  const [stage] = report.stages;
  const lost = report.losses.filter(({ loss }) => LOST.has(loss));
  const fresh = stage?.runs.filter(({ mode }) => mode === "fresh" || mode === "burst") ?? [];
  const late = stage?.runs.filter(({ mode }) => mode === "late") ?? [];
  const [all] = report.latency;
  const isMeasured = all && all.steady.count > 0 && all.swap.count > 0;
  return {
    started: report.requests.started,
    dropped: byClass(lost.filter(({ reused }) => !reused)),
    keptDropped: byClass(lost.filter(({ reused }) => reused)),
    late: {
      started: late.reduce((sum, { load }) => sum + load.started, 0),
      lost: late.reduce((sum, { load }) => sum + load.failed, 0),
    },
    othersLost: (stage?.runs ?? []).reduce(
      (sum, { mode, load }) => sum + (mode === "late" ? 0 : load.failed),
      0,
    ),
    older: fresh.reduce((sum, { load }) => sum + load.versionRegressions, 0),
    mixedMs: Math.max(0, ...report.versions.mixedMsOnNewConnections),
    ratio: isMeasured ? all.swap.p999Us / Math.max(1, all.steady.p999Us) : null,
    gapMs: Math.max(0, ...report.gaps.map(({ ms }) => ms)),
    wrapperKb,
    servesMs: report.timings.signalToNewAnswerMs?.p50 ?? null,
    overMs: report.timings.signalToReadyMs?.p50 ?? null,
    swapped: stage?.swaps.filter(({ outcome }) => outcome === "swapped").length ?? 0,
    swaps: stage?.swaps.length ?? 0,
    limited: report.checks.some(({ name, status }) => name === "generator" && status !== "pass"),
  };
}

function byClass(losses: VerifyReport["losses"]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { class: name, count } of losses) counts[name] = (counts[name] ?? 0) + count;
  return counts;
}
