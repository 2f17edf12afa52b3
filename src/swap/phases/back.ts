/** What is answered on the way back to the old generation: in `rolling-back` and `flipping-back`. Pure. */
import { endByCrash, respawn } from "../death.ts";
import { flippedBack, stayAfterAll } from "../flip.ts";
import { endGivenBack, giveBack, givenBackToNone, released, rolledBack } from "../hold.ts";
import {
  common,
  end,
  endAtOnce,
  forward,
  goTo,
  isAbout,
  leaderGone,
  leaveKeeping,
  retire,
  say,
  tooLate,
  treeGone,
  unchanged,
  unsettle,
  withEffects,
} from "../moves.ts";
import type { Gen, In, Retirement, Row, Step } from "../states.ts";

/** Not beside the failed one; where hupwatch leaves, not at all. */
const swapAfterwards = (s: In<"rolling-back" | "flipping-back">): Step =>
  s.leaving
    ? goTo(s, tooLate())
    : goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.failed }));

export const rollingBack: Row<"rolling-back"> = {
  swap: swapAfterwards,
  leave: (s) => {
    if (s.leaving) return endGivenBack(s, s.leaving.how);
    return s.isHeld ? giveBack(s, "leave") : leaveKeeping(s, s.failed);
  },
  stop: (s) => {
    if (s.leaving) return endGivenBack(s, "stop");
    if (s.isHeld) return giveBack(s, "stop");
    return end(s, { kind: "stopped", serving: s.current }, [
      [s.failed, "kill"],
      [s.current, "graceful"],
    ]);
  },
  quit: (s) => {
    const gens = s.leaving?.isGone ? [s.current] : [s.failed, s.current];
    return withEffects(endAtOnce(s, s.current, gens), unsettle, ...released(s));
  },
  forward: (s, e) => goTo(s, forward(s.current, e.signal)),
  ready: unchanged,
  overdue: unchanged,
  failed: (s, e) =>
    isAbout(s.current, e)
      ? goTo(s, say({ event: "unreachable", gen: s.current, failure: e.failure }))
      : unchanged(s),
  exited: (s, e, limits) => {
    if (!isAbout(s.current, e)) return leaderGone(s, e);
    if (s.leaving) return givenBackToNone(s, e);
    const base = { ...common(s), draining: [...s.draining, s.failed], again: s.again };
    const another = respawn(base, { gen: s.current, how: "sweep", died: e }, limits);
    return another ? withEffects(another, retire(s.failed, "kill")) : endByCrash(base, s.current, e.failure);
  },
  settled: (s, e) => (s.leaving && isAbout(s.current, e) ? endGivenBack(s, s.leaving.how) : unchanged(s)),
  hold: unchanged,
  resume: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: (s, e) => (isAbout(s.failed, e) ? rolledBack(s) : treeGone(s, e)),
};

export const flippingBack: Row<"flipping-back"> = {
  swap: swapAfterwards,
  leave: (s, _, limits) => {
    if (s.leaving) return flippedBack(s, limits);
    return goTo({ ...s, again: false, leaving: true }, ...(s.again ? [tooLate()] : []));
  },
  stop: (s) => {
    const both: [Gen, Retirement][] = [
      [s.failed, "graceful"],
      [s.current, "graceful"],
    ];
    return withEffects(end(s, { kind: "stopped", serving: s.current }, both), unsettle);
  },
  quit: (s) => withEffects(endAtOnce(s, s.current, [s.failed, s.current]), unsettle),
  forward: (s, e) => goTo(s, forward(s.current, e.signal)),
  ready: unchanged,
  overdue: unchanged,
  failed: (s, e, limits) => {
    if (!isAbout(s.current, e)) return unchanged(s);
    return stayAfterAll(s, "drain", { event: "unreachable", gen: s.current, failure: e.failure }, limits);
  },
  exited: (s, e, limits) => {
    if (isAbout(s.failed, e)) return flippedBack(s, limits, { died: true });
    if (!isAbout(s.current, e)) return leaderGone(s, e);
    return stayAfterAll(s, "sweep", { event: "crashed", gen: s.current, failure: e.failure }, limits);
  },
  settled: (s, e, limits) => (isAbout(s.current, e) ? flippedBack(s, limits) : unchanged(s)),
  hold: unchanged,
  resume: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: treeGone,
};
