/**
 * The evidence with its verdict, as plain data: what `--json` writes and every other report is made from. Fields are
 * only ever added under this schema's name. Times are milliseconds since `startedAt` unless the name says otherwise.
 */
import { cpus, release } from "node:os";
import { type LoadReport, reportOf } from "../load/result.ts";
import { VERSION } from "../version.ts";
import { mixOf } from "./chaos.ts";
import type { Check } from "./check.ts";
import { judge } from "./checks.ts";
import type { KeyFigures } from "./compare.ts";
import type { Evidence, Stage } from "./evidence.ts";
import {
  crossedBy,
  type Gap,
  type Growth,
  gapsOf,
  growthOf,
  isFresh,
  keyFiguresOf,
  type LatencyPair,
  latencyPairs,
  mixedMs,
  type Timings,
  timingsOf,
  type VersionSpan,
  versionsOf,
} from "./figures.ts";
import type { Swap } from "./journal.ts";
import type { KernelSightings } from "./kernel-watch.ts";
import type { LedgerFindings } from "./ledger.ts";
import { countOf, type Loss, lossesOf } from "./losses.ts";
import { type Proof, replacementOf } from "./replacement.ts";
import { upperBound95 } from "./statistics.ts";
import type { Sample } from "./stock.ts";
import type { TrafficMode } from "./traffic.ts";
import { count, plural } from "./words.ts";

export type VerifyVerdict = "pass" | "fail" | "inconclusive";

export interface VerifyReport {
  schema: "hupwatch-verify/1";
  verdict: VerifyVerdict;
  exitCode: 0 | 1 | 4;
  /** The verdict line. */
  line: string;
  hupwatch: string;
  /** What was judged: the command, or the reload command, as typed. */
  subject: { kind: "hupwatch" | "reload"; command: string };
  target: string;
  modes: string[];
  /** Each new connection is led to one generation; null: not known. */
  steered: boolean | null;
  /** What stands between the load and the server. */
  front: "nginx" | null;
  load: { ratePerMode: number; connectionsPerMode: number; burst: number; seed: number };
  /** ISO 8601. */
  startedAt: string;
  elapsedMs: number;
  machine: { kernel: string; cpus: number; arch: string; bun: string };
  requests: {
    scheduled: number;
    started: number;
    ok: number;
    failed: number;
    missed: number;
    /** Failures that count against the subject: see `losses` for which. */
    dropped: number;
    /** Of `dropped`: idempotent ones that met a kept connection which was closing. */
    droppedByRaces: number;
    /** Under way while a swap was going on. */
    crossed: number;
  };
  swaps: number;
  /** 95 % upper bound on the rate of drops among the requests that crossed a swap; null where none did. */
  bound95PerMillion: number | null;
  checks: Check[];
  losses: Loss[];
  /** What `--compare` compares a later run with. */
  figures: KeyFigures;
  /** The accidents of a mix, in their order. */
  mix: Swap["kind"][];
  /** In swaps against steady; the first row is of all modes together. */
  latency: LatencyPair[];
  gaps: Gap[];
  timings: Timings;
  versions: { spans: VersionSpan[]; mixedMsOnNewConnections: number[] };
  /** For each swap that came about, what shows that it replaced something. */
  replacement: Proof[][];
  ledger: LedgerFindings | null;
  growth: Growth;
  /** One after each quiet stretch. */
  samples: Sample[];
  stages: {
    name: Stage["name"];
    startMs: number;
    endMs: number;
    swaps: Swap[];
    /** When it was asked to swap. */
    signalsMs: number[];
    kernel: KernelSightings;
    /** `load` is a report of `hupwatch load`; its milliseconds count from `offsetMs`. */
    runs: { mode: TrafficMode; offsetMs: number; load: LoadReport }[];
  }[];
}

export function makeReport(evidence: Evidence): VerifyReport {
  const { plan, stages } = evidence;
  const swaps = stages.find((s) => s.name === "swaps");
  const losses = lossesOf(stages);
  const checks = judge(evidence, losses);
  const requests = requestsOf(evidence, losses);
  const verdict = verdictOf(checks);
  const spans = swaps ? versionsOf(swaps, isFresh) : [];
  const total = stages.reduce((sum, s) => sum + s.swaps.length, 0);
  const base = { requests, swaps: total, bound95PerMillion: boundOf(requests) };
  const replacement = replacementOf(evidence, swaps);
  return {
    schema: "hupwatch-verify/1",
    verdict,
    exitCode: verdict === "pass" ? 0 : verdict === "fail" ? 1 : 4,
    line: lineOf(base, shownBy(replacement.proofs), notExercised(checks)),
    hupwatch: VERSION,
    subject:
      plan.subject.kind === "hupwatch"
        ? { kind: "hupwatch", command: plan.subject.words.join(" ") }
        : { kind: "reload", command: plan.subject.reload },
    target: evidence.target,
    modes: [...evidence.modes],
    steered: evidence.steered ?? null,
    front: plan.front ?? null,
    load: {
      ...{ ratePerMode: plan.rate, connectionsPerMode: plan.connections, burst: plan.burst },
      seed: plan.seed,
    },
    startedAt: evidence.startedAt.toISOString(),
    elapsedMs: Math.round(evidence.elapsedMs),
    machine: { kernel: release(), cpus: cpus().length, arch: process.arch, bun: Bun.version },
    ...base,
    checks,
    losses,
    figures: keyFiguresOf(evidence, swaps, losses),
    mix: mixOf(plan.seed, plan.mix, plan.chaos),
    latency: latencyPairs(swaps),
    gaps: gapsOf(stages),
    timings: timingsOf(swaps),
    versions: { spans, mixedMsOnNewConnections: mixedMs(spans).map(Math.round) },
    replacement: replacement.proofs,
    ledger: evidence.ledger ?? null,
    growth: growthOf(evidence),
    samples: evidence.samples,
    stages: stages.map(({ name, startMs, endMs, swaps: tries, signalsMs, kernel, runs }) => ({
      ...{ name, startMs, endMs, swaps: tries, signalsMs, kernel },
      runs: runs.map(({ mode, offsetMs, result }) => ({ mode, offsetMs, load: reportOf(result) })),
    })),
  };
}

function boundOf({ dropped, crossed }: VerifyReport["requests"]): number | null {
  if (crossed === 0) return null;
  // Drops outside of swaps count, too: more than all cannot be dropped.
  return Math.min(1, upperBound95(dropped) / crossed) * 1e6;
}

function requestsOf({ plan, stages }: Evidence, losses: readonly Loss[]): VerifyReport["requests"] {
  const results = stages.flatMap((stage) => stage.runs.map((run) => run.result));
  const sum = (of: (r: (typeof results)[number]) => number) => results.reduce((n, r) => n + of(r), 0);
  const races = plan.allowStaleKeepAlive ? 0 : countOf(losses, "race");
  return {
    scheduled: sum((r) => r.scheduled),
    started: sum((r) => r.started),
    ok: sum((r) => r.ok),
    failed: sum((r) => r.failed),
    missed: sum((r) => r.missed),
    dropped: countOf(losses, "drop") + races,
    droppedByRaces: races,
    crossed: crossedBy(stages),
  };
}

/** A check that failed counts, however well or badly the generator did. */
function verdictOf(checks: readonly Check[]): VerifyVerdict {
  if (checks.some((c) => c.status === "fail")) return "fail";
  return checks.some((c) => c.status === "inconclusive") ? "inconclusive" : "pass";
}

/** Said in the line where it is less than the kernel's word that other processes serve. */
function shownBy(proofs: readonly Proof[][]): string {
  const weaker = proofs.filter((found) => !found.includes("processes"));
  if (weaker.length === 0) return "";
  const by = weaker.every((found) => found.includes("version")) ? "X-Version" : "hupwatch itself";
  return weaker.some((found) => found.length === 0)
    ? "; nothing shows that anything was replaced"
    : `; only ${by} shows that anything was replaced`;
}

function notExercised(checks: readonly Check[]): string {
  const names = checks.filter((check) => check.status === "not-exercised").map((check) => check.name);
  return names.length === 0 ? "" : `; not exercised: ${names.join(", ")}`;
}

function lineOf(
  {
    requests,
    swaps,
    bound95PerMillion: bound,
  }: Pick<VerifyReport, "requests" | "swaps" | "bound95PerMillion">,
  ...also: string[]
): string {
  const evidence =
    bound === null
      ? "none crossed a swap"
      : `95 % bound ${figure(bound)} per million; ${count(requests.crossed)} crossed a swap`;
  const { dropped, droppedByRaces, started } = requests;
  const races = droppedByRaces > 0 ? `, ${count(droppedByRaces)} of them by keep-alive races,` : "";
  return `${count(dropped)} of ${plural(started, "request")} dropped${races} in ${plural(swaps, "swap")} (${evidence}${also.join("")})`;
}

const figure = (n: number): string => (n >= 100 ? count(Math.round(n)) : n.toPrecision(2));
