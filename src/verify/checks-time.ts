/** Checks of time: measured always, a failure only beyond a bound that was given. */
import { bounded, type Check, type Facts } from "./check.ts";
import { gapsOf, isFresh, latencyPairs, mixedMs, ratioOf, timingsOf, versionsOf } from "./figures.ts";
import { count, ms, us } from "./words.ts";

export function mixedVersions({ swaps, evidence: { plan } }: Facts): Check | undefined {
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
  const summary = `two versions alternated at most: ${told.join(", ")}`;
  return bounded("mixed-versions", fresh ?? kept, plan.bounds.maxMixedMs, summary);
}

export function gap({ evidence: { stages, plan } }: Facts): Check | undefined {
  const gaps = gapsOf(stages);
  if (gaps.length === 0) return undefined;
  const told = gaps.map((g) => `${g.mode} ${ms(g.ms)} at ${(g.fromMs / 1000).toFixed(1)} s`);
  const longest = Math.max(...gaps.map((g) => g.ms));
  return bounded("longest-gap", longest, plan.bounds.maxGapMs, `without a good answer: ${told.join(", ")}`);
}

export function p99({ swaps, evidence: { plan } }: Facts): Check | undefined {
  const [pair] = latencyPairs(swaps);
  const ratio = ratioOf(pair, (p) => p.p99Us);
  if (!pair || ratio === undefined) return undefined;
  const summary = `p99 ${us(pair.swap.p99Us)} in swaps, ${us(pair.steady.p99Us)} steady: x ${ratio.toFixed(2)}`;
  return bounded("p99", ratio, plan.bounds.maxP99Ratio, summary);
}

export function p999({ swaps, evidence: { plan } }: Facts): Check | undefined {
  const [pair] = latencyPairs(swaps);
  const ratio = ratioOf(pair, (p) => p.p999Us);
  if (!pair || ratio === undefined) return undefined;
  const summary = `p99.9 ${us(pair.swap.p999Us)} in swaps, ${us(pair.steady.p999Us)} steady: x ${ratio.toFixed(2)}`;
  return bounded("p99.9", ratio, plan.bounds.maxP999Ratio, summary);
}

export function timings({ swaps, evidence: { plan } }: Facts): Check | undefined {
  const { execToReadyMs, signalToExecMs, signalToReadyMs, stopToGoneMs, signalToNewAnswerMs } =
    timingsOf(swaps);
  const told = [
    ...(signalToExecMs ? [`HUP to exec ${ms(signalToExecMs.p50)}`] : []),
    ...(!execToReadyMs && signalToReadyMs ? [`reload took ${ms(signalToReadyMs.p50)}`] : []),
    ...(execToReadyMs ? [`exec to ready ${ms(execToReadyMs.p50)}`] : []),
    ...(stopToGoneMs ? [`stop to exit ${ms(stopToGoneMs.p50)}`] : []),
    ...(signalToNewAnswerMs ? [`first answer of the new one after ${ms(signalToNewAnswerMs.p50)}`] : []),
  ];
  const unproven = swaps?.swaps.filter((swap) => swap.readyProven === false).length ?? 0;
  if (unproven > 0)
    told.push(`readiness without proof in ${count(unproven)} swaps: the old one may have answered`);
  if (told.length === 0) return undefined;
  const slowest = signalToReadyMs?.max;
  return bounded("timings", slowest, plan.bounds.maxReadyMs, `medians: ${told.join(", ")}`);
}
