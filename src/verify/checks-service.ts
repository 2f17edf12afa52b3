/** Checks of the service around the requests: swaps that came about, versions, what is left and what grew. */
import { expectedOf } from "./chaos.ts";
import { bounded, type Check, type Facts, make, verdict } from "./check.ts";
import { compared, type FigureName } from "./compare.ts";
import type { Evidence, Stage } from "./evidence.ts";
import { growthOf, isFresh, keyFiguresOf, type VersionSpan, versionsOf } from "./figures.ts";
import type { Swap } from "./journal.ts";
import { type Proof, replacementOf } from "./replacement.ts";
import { count, ms, plural, us } from "./words.ts";

/** An answer may be on its way when its process has ended, and the events' stamps are whole milliseconds. */
const STALE_SLACK_MS = 100;

/** The ordinary ones, and each accident apart. */
export const swaps = ({ evidence }: Facts): Check[] =>
  evidence.stages.map((stage, i) => swapsOfStage(stage, evidence, i === 0 ? evidence.death : undefined));

function swapsOfStage(stage: Stage, { interrupted }: Evidence, death: string | undefined): Check {
  const isOrdinary = stage.name === "swaps";
  const bad = stage.swaps.filter((s) => s.outcome !== expectedOf(s.kind) || s.endMs === undefined);
  const details = [
    ...(death === undefined ? [] : [death]),
    ...bad.map((s) => describeSwap(s, expectedOf(s.kind))),
  ];
  if (stage.swaps.length < stage.asked && !interrupted)
    details.push(`${stage.name}: ${stage.swaps.length} of ${stage.asked} came about`);
  const wrong = details.length;
  const good = wrong === 0 ? "all as they should" : `${wrong} not as they should`;
  const summary = `${plural(stage.swaps.length, "swap")}, ${good}`;
  return make(isOrdinary ? "swaps" : `chaos-${stage.name}`, verdict(wrong === 0), summary, details);
}

/** I2: what serves is told to stop only when its successor was ready. */
export function order({ evidence: { plan, stages } }: Facts): Check | undefined {
  if (plan.subject.kind !== "hupwatch") return undefined;
  const all = stages.flatMap((stage) => stage.swaps);
  const early = all.filter((swap) => swap.stoppedEarlyMs !== undefined);
  const told = early.map(
    (s) =>
      `swap to generation ${s.to}: the old one got its stop signal ${ms((s.stoppedEarlyMs ?? 0) - s.startMs)} after the HUP`,
  );
  const summary = `${early.length} of ${plural(all.length, "swap")} sent the old generation its stop signal before the new one was ready`;
  return make("order", verdict(early.length === 0), summary, told);
}

const FIGURES: Record<FigureName, (value: number) => string> = {
  droppedPerMillion: (value) => `${value.toFixed(1)} dropped per million`,
  p99InSwapsUs: (value) => `p99 in swaps ${us(value)}`,
  p999InSwapsUs: (value) => `p99.9 in swaps ${us(value)}`,
  longestGapMs: (value) => `longest gap ${ms(value)}`,
  signalToReadyMs: (value) => `HUP to ready ${ms(value)}`,
};

export function comparison({ swaps, losses, evidence }: Facts): Check | undefined {
  const { compareWith, bounds } = evidence.plan;
  if (!compareWith) return undefined;
  const all = compared(compareWith, keyFiguresOf(evidence, swaps, losses));
  const isWorse = (ratio: number | null, by: number) => ratio === null || ratio > by;
  const worse = all.filter(({ ratio }) => isWorse(ratio, bounds.maxWorse ?? 1));
  const bound = bounds.maxWorse === undefined ? "worse" : `more than ${bounds.maxWorse} times what they were`;
  const told = all.map(({ figure, before, now, ratio }) => {
    const times = ratio === null ? "" : ` (x ${ratio.toFixed(2)})`;
    return `${FIGURES[figure](now)}, before ${FIGURES[figure](before).replace(/^[^\d]*/, "")}${times}`;
  });
  const status = bounds.maxWorse === undefined ? "measured" : verdict(worse.length === 0);
  return make("compare", status, `${worse.length} of ${plural(all.length, "figure")} ${bound}`, told);
}

const PROOFS: Record<Proof, string> = {
  processes: "other processes serve",
  version: "a new X-Version answered",
  hupwatch: "hupwatch says so",
};

export function replaced({ swaps, evidence }: Facts): Check | undefined {
  const { proofs, why } = replacementOf(evidence, swaps);
  if (proofs.length === 0) return undefined;
  const bare = proofs.filter((found) => found.length === 0).length;
  if (bare > 0)
    return make(
      "replaced",
      "inconclusive",
      `in ${bare} of ${plural(proofs.length, "swap")} nothing shows that anything was replaced`,
      why,
    );
  const told = (Object.keys(PROOFS) as Proof[]).flatMap((proof) => {
    const n = proofs.filter((found) => found.includes(proof)).length;
    return n > 0 ? [`${PROOFS[proof]} in ${count(n)}`] : [];
  });
  return make("replaced", "pass", `of ${plural(proofs.length, "swap")}: ${told.join(", ")}`);
}

export function versions({ swaps, evidence }: Facts): Check | undefined {
  if (!swaps) return undefined;
  const all = versionsOf(swaps, () => true);
  if (all.length < 2) {
    const seen = all.length === 0 ? "no answer had X-Version" : `only version ${all[0]?.version} answered`;
    return make("versions", "skipped", `${seen}: old and new cannot be told apart (see HUPWATCH_GENERATION)`);
  }
  // Only where each new connection has one place to go is a step back a fault; else it is mixed time.
  const back = evidence.steered
    ? swaps.runs.filter((r) => isFresh(r.mode)).reduce((sum, r) => sum + r.result.versionRegressions, 0)
    : 0;
  const stale = swaps.swaps.flatMap((swap, i) => staleAfter(all, swap, swaps.swaps[i + 1]));
  const parts = [`${all.length} versions`];
  if (evidence.steered) parts.push(`${count(back)} answers on new connections from an older one than before`);
  parts.push(`${stale.length} of them answered after their generation was gone`);
  return make("versions", verdict(back + stale.length === 0), parts.join(", "), stale);
}

export function leftovers({ evidence: { remains, socketFilesLeft, plan } }: Facts): Check | undefined {
  if (plan.subject.kind !== "hupwatch") return undefined;
  const left = [...remains, ...socketFilesLeft];
  const summary =
    left.length === 0 ? "no process and no socket file is left after the stop" : "left after the stop:";
  return make("leftovers", verdict(left.length === 0), summary, left);
}

export function growth({ evidence }: Facts): Check | undefined {
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
}

export function memory({ evidence }: Facts): Check | undefined {
  const { rssKbPerSwap, treeRssKbPerSwap } = growthOf(evidence);
  const last = evidence.samples.at(-1);
  if (rssKbPerSwap === undefined || !last) return undefined;
  const summary =
    `hupwatch ${(last.rssKb / 1024).toFixed(1)} MB, ${signed(Math.round(rssKbPerSwap))} kB a swap; ` +
    `with the command ${(last.treeRssKb / 1024).toFixed(1)} MB, ${signed(Math.round(treeRssKbPerSwap ?? 0))} kB a swap`;
  return bounded("memory", rssKbPerSwap, evidence.plan.bounds.maxRssSlopeKb, summary);
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

const signed = (n: number): string => (n > 0 ? `+${n}` : String(n));
