/** Judges the evidence: one function a check, in the order of the report. Pure; nothing is measured here. */
import { ACCIDENTS } from "./chaos.ts";
import type { Evidence, Stage } from "./evidence.ts";
import {
  gapsOf,
  growthOf,
  isFresh,
  latencyPairs,
  mixedMs,
  ratioOf,
  timingsOf,
  type VersionSpan,
  versionsOf,
} from "./figures.ts";
import type { Swap } from "./journal.ts";
import { countOf, describeLosses, type Loss } from "./losses.ts";
import { count, ms, plural, us } from "./words.ts";

/** `measured`: told, and no bound was given. `skipped`: could not be looked at; the summary says why. */
export type CheckStatus = "pass" | "fail" | "inconclusive" | "measured" | "skipped";

export interface Check {
  /** Stable, for scripts. */
  name: string;
  status: CheckStatus;
  /** One line. */
  summary: string;
  details: string[];
}

interface Facts {
  evidence: Evidence;
  losses: Loss[];
  swaps: Stage | undefined;
}

type Judge = (facts: Facts) => Check | undefined;

const DETAILS_MAX = 20;
/** An answer may be on its way when its process has ended, and log stamps are whole milliseconds. */
const STALE_SLACK_MS = 100;

export function judge(evidence: Evidence, losses: Loss[]): Check[] {
  const facts = { evidence, losses, swaps: evidence.stages.find((s) => s.name === "swaps") };
  return JUDGES.flatMap((look) => look(facts) ?? []).map((check) => ({
    ...check,
    details: shortened(check.details),
  }));
}

const verdict = (ok: boolean): CheckStatus => (ok ? "pass" : "fail");

const JUDGES: Judge[] = [
  function swaps({ evidence: { stages, death, interrupted } }) {
    const details = death === undefined ? [] : [death];
    let wrong = death === undefined ? 0 : 1;
    let seen = 0;
    for (const stage of stages) {
      const expected = stage.name === "swaps" ? "swapped" : ACCIDENTS[stage.name].expected;
      const bad = stage.swaps.filter((s) => s.outcome !== expected || s.endMs === undefined);
      seen += stage.swaps.length;
      wrong += bad.length;
      details.push(...bad.map((s) => describeSwap(s, expected)));
      if (stage.swaps.length < stage.asked && !interrupted) {
        wrong++;
        details.push(`${stage.name}: ${stage.swaps.length} of ${stage.asked} came about`);
      }
    }
    const good = wrong === 0 ? "all as they should" : `${wrong} not as they should`;
    return make("swaps", verdict(wrong === 0), `${plural(seen, "swap")}, ${good}`, details);
  },

  function conservation({ evidence }) {
    const runs = evidence.stages.flatMap((stage) => stage.runs);
    const off = runs.filter(
      ({ result: r }) => r.scheduled !== r.started + r.missed || r.started !== r.ok + r.failed + r.inFlight,
    );
    const sum = (of: (r: (typeof runs)[number]["result"]) => number) =>
      runs.reduce((total, run) => total + of(run.result), 0);
    const [scheduled, ok, failed, missed] = [
      sum((r) => r.scheduled),
      sum((r) => r.ok),
      sum((r) => r.failed),
      sum((r) => r.missed),
    ].map(count);
    const summary = `${scheduled} scheduled = ${ok} ok + ${failed} failed + ${missed} missed + 0 in flight`;
    return make("conservation", verdict(off.length === 0), summary);
  },

  function drops({ losses, evidence }) {
    const dropped = countOf(losses, "drop");
    const held = countOf(losses, "held");
    const modes = [...new Set(evidence.stages.flatMap((s) => s.runs.map((r) => r.mode)))];
    const byMode = modes.map((mode) => {
      const n = countOf(
        losses.filter((l) => l.mode === mode),
        "drop",
      );
      return `${mode} ${count(n)}`;
    });
    const also = held > 0 ? `; ${held} more were in the hands of a process that was killed on purpose` : "";
    return make("drops", verdict(dropped === 0), `${count(dropped)} dropped: ${byMode.join(", ")}${also}`, [
      ...describeLosses(losses, "drop"),
      ...describeLosses(losses, "held").map((line) => `(killed on purpose) ${line}`),
    ]);
  },

  function keepAliveRaces({ losses, evidence: { plan, modes } }) {
    if (!modes.some((mode) => mode === "keepalive" || mode === "mix")) return undefined;
    const races = countOf(losses, "race");
    const allowed = races > 0 && plan.allowStaleKeepAlive ? ", allowed" : "";
    const summary = `${count(races)} idempotent requests met a kept connection that was closing${allowed}`;
    const ok = races === 0 || plan.allowStaleKeepAlive;
    return make("keep-alive-races", verdict(ok), summary, describeLosses(losses, "race"));
  },

  function exactlyOnce({ evidence: { ledger, modes } }) {
    if (!modes.some((mode) => mode === "post" || mode === "upload" || mode === "mix")) return undefined;
    if (!ledger) {
      const why =
        "no ledger ($VERIFY_LEDGER): each answer named its POST's id, a second execution would not be seen";
      return make("exactly-once", "skipped", why);
    }
    const { duplicates, neverExecuted, executedButFailed, failedUnexecuted } = ledger;
    const parts = [`${count(ledger.executedOnce)} of ${count(ledger.posts)} POSTs executed once`];
    if (duplicates.length > 0) parts.push(`${count(duplicates.length)} more than once`);
    if (neverExecuted.length > 0) parts.push(`${count(neverExecuted.length)} answered and never executed`);
    if (executedButFailed.length > 0)
      parts.push(`${count(executedButFailed.length)} executed without an answer`);
    if (failedUnexecuted.length > 0)
      parts.push(`${count(failedUnexecuted.length)} lost before they were executed`);
    if (ledger.strangers > 0) parts.push(`${count(ledger.strangers)} ids of others in the ledger`);
    return make("exactly-once", verdict(duplicates.length + neverExecuted.length === 0), parts.join(", "), [
      ...duplicates.map((id) => `executed more than once: ${id}`),
      ...neverExecuted.map((id) => `answered and never executed: ${id}`),
    ]);
  },

  function bodies({ losses, evidence }) {
    const wrong = countOf(losses, "integrity");
    const unasked = evidence.stages
      .flatMap((s) => s.runs)
      .reduce((sum, { result }) => sum + result.unaskedBytes, 0);
    const what = evidence.plan.checkBodies ? "framing, ids, lengths and checksums" : "framing and ids";
    const found = wrong + unasked;
    const summary = `${what}: ${found === 0 ? "all as they should" : `${count(found)} wrong`}`;
    const idle = unasked > 0 ? [`${unasked} idle connections got bytes that nobody asked for`] : [];
    return make("bodies", verdict(found === 0), summary, [...describeLosses(losses, "integrity"), ...idle]);
  },

  function versions({ swaps, evidence }) {
    if (!swaps) return undefined;
    const all = versionsOf(swaps, () => true);
    if (all.length < 2) {
      const seen = all.length === 0 ? "no answer had X-Version" : `only version ${all[0]?.version} answered`;
      return make(
        "versions",
        "skipped",
        `${seen}: old and new cannot be told apart (see HUPWATCH_GENERATION)`,
      );
    }
    // Only where each new connection has one place to go is a step back a fault; else it is mixed time.
    const back = evidence.steered
      ? swaps.runs.filter((r) => isFresh(r.mode)).reduce((sum, r) => sum + r.result.versionRegressions, 0)
      : 0;
    const stale = swaps.swaps.flatMap((swap, i) => staleAfter(all, swap, swaps.swaps[i + 1]));
    const parts = [`${all.length} versions`];
    if (evidence.steered)
      parts.push(`${count(back)} answers on new connections from an older one than before`);
    parts.push(`${stale.length} of them answered after their time`);
    return make("versions", verdict(back + stale.length === 0), parts.join(", "), stale);
  },

  function mixedVersions({ swaps, evidence: { plan } }) {
    if (!swaps) return undefined;
    const longest = (takes: Parameters<typeof versionsOf>[1]) => {
      const spans = versionsOf(swaps, takes);
      return spans.length < 2 ? undefined : Math.max(...mixedMs(spans));
    };
    const fresh = longest(isFresh);
    const kept = longest((mode) => mode === "keepalive" || mode === "post" || mode === "mix");
    if (fresh === undefined && kept === undefined) return undefined;
    const told = [
      ...(fresh === undefined ? [] : [`new connections ${ms(fresh)}`]),
      ...(kept === undefined ? [] : [`kept ones ${ms(kept)}`]),
    ];
    const summary = `two versions in turns at most: ${told.join(", ")}`;
    return bounded("mixed-versions", fresh ?? kept, plan.bounds.maxMixedMs, summary);
  },

  function gap({ evidence: { stages, plan } }) {
    const gaps = gapsOf(stages);
    if (gaps.length === 0) return undefined;
    const told = gaps.map((g) => `${g.mode} ${ms(g.ms)} at ${(g.fromMs / 1000).toFixed(1)} s`);
    const longest = Math.max(...gaps.map((g) => g.ms));
    return bounded("longest-gap", longest, plan.bounds.maxGapMs, `without a good answer: ${told.join(", ")}`);
  },

  function p99({ swaps, evidence: { plan } }) {
    const [pair] = latencyPairs(swaps);
    const ratio = ratioOf(pair, (p) => p.p99Us);
    if (!pair || ratio === undefined) return undefined;
    const summary = `p99 ${us(pair.swap.p99Us)} in swaps, ${us(pair.steady.p99Us)} steady: x ${ratio.toFixed(2)}`;
    return bounded("p99", ratio, plan.bounds.maxP99Ratio, summary);
  },

  function p999({ swaps, evidence: { plan } }) {
    const [pair] = latencyPairs(swaps);
    const ratio = ratioOf(pair, (p) => p.p999Us);
    if (!pair || ratio === undefined) return undefined;
    const summary = `p99.9 ${us(pair.swap.p999Us)} in swaps, ${us(pair.steady.p999Us)} steady: x ${ratio.toFixed(2)}`;
    return bounded("p99.9", ratio, plan.bounds.maxP999Ratio, summary);
  },

  function timings({ swaps, evidence: { plan } }) {
    const { execToReadyMs, signalToExecMs, signalToReadyMs, stopToGoneMs, signalToNewAnswerMs } =
      timingsOf(swaps);
    const told = [
      ...(signalToExecMs ? [`HUP to exec ${ms(signalToExecMs.p50)}`] : []),
      ...(!execToReadyMs && signalToReadyMs ? [`reload took ${ms(signalToReadyMs.p50)}`] : []),
      ...(execToReadyMs ? [`exec to ready ${ms(execToReadyMs.p50)}`] : []),
      ...(stopToGoneMs ? [`stop to exit ${ms(stopToGoneMs.p50)}`] : []),
      ...(signalToNewAnswerMs ? [`first answer of the new one after ${ms(signalToNewAnswerMs.p50)}`] : []),
    ];
    if (told.length === 0) return undefined;
    const slowest = signalToReadyMs?.max;
    return bounded("timings", slowest, plan.bounds.maxReadyMs, `medians: ${told.join(", ")}`);
  },

  function leftovers({ evidence: { remains, socketFilesLeft, plan } }) {
    if (plan.subject.kind !== "hupwatch") return undefined;
    const left = [...remains, ...socketFilesLeft];
    const summary =
      left.length === 0 ? "no process and no socket file is left after the stop" : "left after the stop:";
    return make("leftovers", verdict(left.length === 0), summary, left);
  },

  function growth({ evidence }) {
    const { descriptors, processes, socketFiles } = growthOf(evidence);
    if (descriptors === undefined) return undefined;
    const first = evidence.samples[0];
    const told = [
      `descriptors ${signed(descriptors)}`,
      `processes ${signed(processes ?? 0)}`,
      ...(socketFiles === undefined ? [] : [`socket files ${signed(socketFiles)}`]),
    ];
    const summary = `${told.join(", ")} since the first swap (${first?.descriptors} and ${first?.processes} at the start)`;
    return bounded("growth", descriptors, evidence.plan.bounds.maxFdGrowth, summary);
  },

  function memory({ evidence }) {
    const { rssKbPerSwap, treeRssKbPerSwap } = growthOf(evidence);
    const last = evidence.samples.at(-1);
    if (rssKbPerSwap === undefined || !last) return undefined;
    const summary =
      `hupwatch ${(last.rssKb / 1024).toFixed(1)} MB, ${signed(Math.round(rssKbPerSwap))} kB a swap; ` +
      `with the command ${(last.treeRssKb / 1024).toFixed(1)} MB, ${signed(Math.round(treeRssKbPerSwap ?? 0))} kB a swap`;
    return bounded("memory", rssKbPerSwap, evidence.plan.bounds.maxRssSlopeKb, summary);
  },

  function generator({ evidence: { stages, interrupted } }) {
    const reasons = stages.flatMap((stage) =>
      stage.runs.flatMap(({ mode, result }) =>
        // A run of bursts has no pace of its own that could be missed.
        (mode === "burst" ? [] : result.generator.reasons).map((why) => `${stage.name}, ${mode}: ${why}`),
      ),
    );
    if (interrupted) reasons.push("interrupted before the end");
    const lag = Math.max(0, ...stages.flatMap((s) => s.runs.map((r) => r.result.generator.lag.p99Us)));
    const summary =
      reasons.length === 0
        ? `kept its pace; its timer was late by ${us(lag)} (p99)`
        : "was the limit: proves nothing";
    return make("generator", reasons.length === 0 ? "pass" : "inconclusive", summary, reasons);
  },
];

const make = (name: string, status: CheckStatus, summary: string, details: string[] = []): Check => ({
  name,
  status,
  summary,
  details,
});

/** Fails only where a bound was given. */
function bounded(name: string, value: number | undefined, bound: number | undefined, summary: string): Check {
  if (bound === undefined) return make(name, "measured", summary);
  if (value === undefined) return make(name, "skipped", summary);
  return make(name, verdict(value <= bound), `${summary} (bound ${bound})`);
}

/** Versions from before a swap that answered when their generation was long gone; none where the swap changed nothing. */
function staleAfter(all: readonly VersionSpan[], swap: Swap, next: Swap | undefined): string[] {
  const { endMs } = swap;
  if (swap.outcome !== "swapped" || endMs === undefined) return [];
  const until = next?.startMs ?? Number.POSITIVE_INFINITY;
  if (!all.some((v) => v.firstMs > swap.startMs && v.firstMs <= until)) return [];
  return all
    .filter((v) => v.firstMs < swap.startMs && v.lastMs > endMs + STALE_SLACK_MS)
    .map((v) => `version ${v.version} still answered ${ms(v.lastMs - endMs)} after its generation was gone`);
}

function describeSwap(swap: Swap, expected: string): string {
  const which = swap.to === undefined ? "a swap" : `to generation ${swap.to}`;
  const kind = swap.kind === "swap" ? "" : ` (chaos: ${swap.kind})`;
  const what =
    swap.outcome === expected
      ? "never finished: the old one is not gone"
      : `${swap.outcome}, not ${expected}`;
  return `${which}${kind} at ${(swap.startMs / 1000).toFixed(1)} s: ${what}${swap.why ? `: ${swap.why}` : ""}`;
}

const shortened = (lines: string[]): string[] =>
  lines.length <= DETAILS_MAX
    ? lines
    : [...lines.slice(0, DETAILS_MAX), `and ${count(lines.length - DETAILS_MAX)} more`];

const signed = (n: number): string => (n > 0 ? `+${n}` : String(n));
