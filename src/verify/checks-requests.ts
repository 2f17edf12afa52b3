/** Checks of the requests themselves: none forgotten, none dropped, each POST once, each body whole. */
import { MANNERS } from "../load/manners.ts";
import { bounded, type Check, exercised, type Facts, make, verdict } from "./check.ts";
import type { Evidence, Stage } from "./evidence.ts";
import { crossedBy } from "./figures.ts";
import { countOf, describeLosses, type Loss } from "./losses.ts";
import { type VerifyPlan, wordOf } from "./plan.ts";
import { count, us } from "./words.ts";

export function conservation({ evidence }: Facts): Check | undefined {
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
}

export function drops({ losses, evidence }: Facts): Check | undefined {
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
  const also = held > 0 ? `; ${held} more were held by a process that was killed on purpose` : "";
  return make(
    "drops",
    exercised(crossedBy(evidence.stages), dropped === 0),
    `${count(dropped)} dropped: ${byMode.join(", ")}${also}`,
    [
      ...describeLosses(losses, "drop"),
      ...describeLosses(losses, "held").map((line) => `(killed on purpose) ${line}`),
    ],
  );
}

export function keepAliveRaces({ losses, evidence }: Facts): Check | undefined {
  const { plan, modes, stages } = evidence;
  if (!modes.some((mode) => mode === "keepalive" || mode === "mix")) return undefined;
  const races = countOf(losses, "race");
  const allowed = races > 0 && plan.allowStaleKeepAlive ? ", allowed" : "";
  const summary = `${count(races)} idempotent requests met a kept connection that was closing${allowed}`;
  const ok = races === 0 || plan.allowStaleKeepAlive;
  return make(
    "keep-alive-races",
    exercised(crossedBy(keptRuns(stages)), ok),
    summary,
    racesIn(losses, evidence),
  );
}

/** Each with whether hupwatch could have had its connection (kept/README.md). */
function racesIn(losses: readonly Loss[], { plan: { subject }, target }: Evidence): string[] {
  return (["ordinary", "accident"] as const).flatMap((what) => {
    const some = losses.filter(
      ({ stage }) => (stage === "swaps" || stage === "mix") === (what === "ordinary"),
    );
    const could = what === "ordinary" ? couldHave(subject, target) : "no: not of a process that was killed";
    return describeLosses(some, "race").map((line) => `${line}; could hupwatch have kept it? ${could}`);
  });
}

function couldHave(subject: VerifyPlan["subject"], target: string): string {
  if (subject.kind === "reload") return "yes, if it ran this server and its clients are on this machine";
  const isUnix = target.startsWith("unix:");
  const mode = wordOf(subject, "kept-connections") ?? "auto";
  if (mode === "close" || (mode === "auto" && isUnix))
    return `yes, with --kept-connections ${isUnix ? "adopt" : "auto"}, for clients on this machine`;
  return "no: its server had not answered in HTTP/1, was in the middle of a message, or ended the connection by shutdown(2); see 'hupwatch explain'";
}

/** The stages with those runs alone whose connections are kept. */
const keptRuns = (stages: readonly Stage[]): Stage[] =>
  stages.map((stage) => ({
    ...stage,
    runs: stage.runs.filter(({ mode }) => mode === "keepalive" || mode === "post" || mode === "mix"),
  }));

export function exactlyOnce({ evidence: { ledger, modes } }: Facts): Check | undefined {
  if (!modes.some((mode) => mode === "mix" || MANNERS[mode].posts)) return undefined;
  if (!ledger) {
    const why =
      "no ledger ($VERIFY_LEDGER): each answer named its POST's id, but a second execution would not be seen";
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
  if (ledger.strangers > 0) parts.push(`${count(ledger.strangers)} unknown ids in the ledger`);
  return make("exactly-once", verdict(duplicates.length + neverExecuted.length === 0), parts.join(", "), [
    ...duplicates.map((id) => `executed more than once: ${id}`),
    ...neverExecuted.map((id) => `answered and never executed: ${id}`),
  ]);
}

/** Streams that were to go on and did not: how they ended. One that was ended in good order is reported, never a drop. */
export function streams({ losses, swaps, evidence: { plan, modes } }: Facts): Check | undefined {
  const kinds = modes.filter((mode) => mode !== "mix" && MANNERS[mode].streams !== undefined);
  if (kinds.length === 0) return undefined;
  const runs = swaps?.runs.filter(({ mode }) => kinds.some((kind) => kind === mode)) ?? [];
  const crossed = runs
    .flatMap(({ result }) => result.segments)
    .filter((segment) => segment.name === "swap")
    .reduce((sum, segment) => sum + segment.ok + segment.failed, 0);
  const cut = losses.filter((l) => l.class === "stream-cut").reduce((sum, l) => sum + l.count, 0);
  const closed = countOf(losses, "stream") - cut;
  const summary = `${count(crossed)} crossed a swap: ${count(closed)} closed with a code, ${count(cut)} cut`;
  const check = bounded("streams", cut, plan.bounds.maxCutStreams, summary);
  return { ...check, details: describeLosses(losses, "stream") };
}

export function bodies({ losses, evidence }: Facts): Check | undefined {
  const wrong = countOf(losses, "integrity");
  const unasked = evidence.stages
    .flatMap((s) => s.runs)
    .reduce((sum, { result }) => sum + result.unaskedBytes, 0);
  const what = evidence.plan.checkBodies ? "framing, ids, lengths and checksums" : "framing and ids";
  const found = wrong + unasked;
  const summary = `${what}: ${found === 0 ? "all as they should" : `${count(found)} wrong`}`;
  const idle = unasked > 0 ? [`${unasked} idle connections got bytes that were not requested`] : [];
  return make("bodies", verdict(found === 0), summary, [...describeLosses(losses, "integrity"), ...idle]);
}

export function generator({ evidence: { stages, interrupted } }: Facts): Check | undefined {
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
}
