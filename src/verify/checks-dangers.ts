/**
 * The instants at which a swap can harm a client, each with a check that passes only if a client was there at that instant
 * and came away unharmed. A run without such a client has not shown that it can be done.
 */
import type { Danger } from "../load/dangers.ts";
import { type Check, exercised, type Facts, make } from "./check.ts";
import type { Stage } from "./evidence.ts";
import type { Swap } from "./journal.ts";
import type { Moment } from "./subject.ts";
import { count, plural } from "./words.ts";

/** Of clients that were in this danger at this moment of an ordinary swap. */
function metAt(stage: Stage, danger: Danger, ...moments: Moment[]): { met: number; lost: number } {
  const found = stage.runs
    .flatMap(({ result }) => result.dangers)
    .filter((one) => one.danger === danger && moments.some((moment) => moment === one.at));
  return {
    met: found.reduce((sum, one) => sum + one.met, 0),
    lost: found.reduce((sum, one) => sum + one.lost, 0),
  };
}

/** Undefined where the instants are not known. */
const ownSwaps = ({ swaps, evidence }: Facts): Stage | undefined =>
  evidence.plan.subject.kind === "hupwatch" ? swaps : undefined;

export function keptAtFlip(facts: Facts): Check | undefined {
  const stage = ownSwaps(facts);
  if (!stage?.runs.some(({ mode }) => mode === "keepalive" || mode === "post" || mode === "mix"))
    return undefined;
  const { met, lost } = metAt(stage, "kept", "flipped");
  const summary = `${plural(met, "request")} in flight on kept connections at a flip, ${count(lost)} lost`;
  return make("kept-at-flip", exercised(met, lost === 0), summary);
}

export function queuedAtFlip(facts: Facts): Check | undefined {
  const stage = ownSwaps(facts);
  if (!stage) return undefined;
  const { met, lost } = metAt(stage, "waiting", "flipped");
  const queued = stage.kernel.queuedAtFlip;
  const summary =
    `${plural(queued, "connection")} in the old one's accept queue at a flip; ` +
    `of ${count(met)} that waited for a first byte then, ${count(lost)} lost`;
  return make("queued-at-flip", exercised(queued, lost === 0), summary);
}

export function unreadAtStop(facts: Facts): Check | undefined {
  const stage = ownSwaps(facts);
  if (!stage) return undefined;
  const { met, lost } = metAt(stage, "waiting", "stopping");
  const unread = stage.kernel.unreadAtStop;
  const summary =
    `${plural(unread, "connection")} accepted and unread at the stop signal; ` +
    `of ${count(met)} that waited for a first byte then, ${count(lost)} lost`;
  return make("unread-at-stop", exercised(unread, lost === 0), summary);
}

export function halfSentPost(facts: Facts): Check | undefined {
  const stage = ownSwaps(facts);
  if (!stage) return undefined;
  const { met, lost } = metAt(stage, "half-sent", "flipped", "stopping");
  const summary = `${plural(met, "POST")} half sent at a flip or a stop signal, ${count(lost)} lost`;
  return make("half-sent-post", exercised(met, lost === 0), summary);
}

type Phase = "nothing" | "boot" | "warm-up" | "drain";

const PHASES: Record<Exclude<Phase, "nothing">, string> = {
  boot: "while a generation booted",
  "warm-up": "in a warm-up",
  drain: "while an old one drained",
};

/** What was going on at the signal, by the swap that was begun last before it. */
function phaseAt(signalMs: number, swaps: readonly Swap[]): Phase {
  const swap = swaps.findLast(({ execMs }) => execMs !== undefined && execMs < signalMs);
  if (!swap) return "nothing";
  if (swap.decidedMs === undefined || signalMs < swap.decidedMs)
    return swap.readyMs === undefined || signalMs < swap.readyMs ? "boot" : "warm-up";
  return swap.endMs === undefined || signalMs < swap.endMs ? "drain" : "nothing";
}

/** I4: after every HUP a generation that was started later serves, or a failure is reported. */
export function hups({ evidence }: Facts): Check | undefined {
  if (evidence.plan.subject.kind !== "hupwatch") return undefined;
  const all = evidence.stages.flatMap(({ name, swaps, signalsMs }) =>
    signalsMs.map((ms) => ({
      ...{ name, phase: phaseAt(ms, swaps) },
      // Events are stamped in whole milliseconds.
      isAnswered: swaps.some(({ execMs }) => execMs !== undefined && execMs >= ms - 1),
    })),
  );
  const lost = all.filter((one) => !one.isAnswered);
  const never = (Object.keys(PHASES) as (keyof typeof PHASES)[]).filter(
    (phase) => !all.some((one) => one.phase === phase),
  );
  const also = never.length > 0 ? `; none came ${never.map((phase) => PHASES[phase]).join(", ")}` : "";
  const status =
    lost.length === 0 && never.length > 0 ? "not-exercised" : exercised(all.length, lost.length === 0);
  return make("hups", status, `${plural(all.length, "HUP")}, ${count(lost.length)} without a swap${also}`, [
    ...lost.map(
      ({ name, phase }) => `${name}: ${phase === "nothing" ? "with no swap going on" : PHASES[phase]}`,
    ),
    ...(never.length > 0 ? ["--chaos-with phases sends one in each"] : []),
  ]);
}
