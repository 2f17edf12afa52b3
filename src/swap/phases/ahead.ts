/** What is answered on the way to the next generation: in `holding`, `booting`, `warming` and `warm`. Pure. */
import { promote } from "../death.ts";
import { confirm, cutOver, flipBack, leaveUnconfirmed, rollBack, settle, stopBoth } from "../flip.ts";
import { bootHeld, giveBack, hold, holdFailed, unhold } from "../hold.ts";
import {
  common,
  end,
  endAtOnce,
  forward,
  goTo,
  isAbout,
  leaderGone,
  leaveKeeping,
  passOn,
  say,
  steer,
  tooLate,
  treeGone,
  unchanged,
  unsettle,
  withEffects,
} from "../moves.ts";
import type { In, Limits, Of, Row, Step } from "../states.ts";

/** The new one is of no use, and lives. */
const nextFailed = (s: In<"booting" | "warming" | "warm">, e: Of<"failed" | "rollback">): Step =>
  isAbout(s.next, e) ? rollBack(s, "abandon", e.failure) : unchanged(s);

/** Both serve clients: of either death the other one takes all of them. */
function eitherDied(s: In<"warming" | "warm">, e: Of<"exited">, limits: Limits): Step {
  if (isAbout(s.next, e)) return rollBack(s, "sweep", e.failure);
  return isAbout(s.current, e) ? cutOver(s, limits, { died: e.failure }) : leaderGone(s, e);
}

const quitBoth = (s: In<"warming" | "warm">): Step =>
  withEffects(endAtOnce(s, s.next, [s.current, s.next]), unsettle);

export const holding: Row<"holding"> = {
  swap: (s) => bootHeld(s, "reload"),
  hold: (s, e) =>
    goTo(
      s,
      unsettle,
      { do: "hold", gen: s.next, ms: e.ms },
      say({ event: "holding", gen: s.next, forMs: e.ms }),
    ),
  resume: (s, e) => bootHeld(s, e.why),
  leave: (s) => giveBack(s, "leave"),
  stop: (s) => giveBack(s, "stop"),
  quit: (s) => withEffects(endAtOnce(s, s.current, [s.next, s.current]), ...unhold(s)),
  forward: (s, e) => goTo(s, forward(s.current, e.signal)),
  ready: unchanged,
  overdue: unchanged,
  failed: (s, e) => (isAbout(s.next, e) ? holdFailed(s, e.failure) : unchanged(s)),
  exited: (s, e, limits) => {
    if (!isAbout(s.current, e)) return leaderGone(s, e);
    const booting = bootHeld(s, "request");
    return withEffects(promote(booting.state as In<"booting">, e, limits), ...booting.effects);
  },
  settled: unchanged,
  confirm: unchanged,
  rollback: unchanged,
  expired: unchanged,
  gone: treeGone,
};

export const booting: Row<"booting"> = {
  swap: (s) => goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.next })),
  leave: (s) => (s.isHeld ? giveBack(s, "leave") : leaveKeeping(s, s.next)),
  stop: (s) => {
    if (s.isHeld) return giveBack(s, "stop");
    return end(s, { kind: "stopped", serving: s.current }, [
      [s.next, "abandon"],
      [s.current, "graceful"],
    ]);
  },
  quit: (s) => withEffects(endAtOnce(s, s.current, [s.next, s.current]), ...unhold(s)),
  forward: passOn,
  ready: (s, e, limits) => {
    if (!isAbout(s.next, e)) return unchanged(s);
    const { current, next, again, owed } = s;
    return goTo(
      {
        phase: "warming",
        ...{ current, next, again, owed, leaving: false },
        isConfirmed: limits.confirmMs === undefined,
        ...common(s),
      },
      say({ event: "ready", gen: next }),
      steer(next),
      { do: "settle", old: current, next, warmUp: true },
    );
  },
  overdue: unchanged,
  failed: nextFailed,
  exited: (s, e, limits) => {
    if (isAbout(s.next, e)) return rollBack(s, "sweep", e.failure);
    return isAbout(s.current, e) ? promote(s, e, limits) : leaderGone(s, e);
  },
  settled: unchanged,
  hold: unchanged,
  resume: unchanged,
  confirm: unchanged,
  rollback: nextFailed,
  expired: unchanged,
  gone: treeGone,
};

export const warming: Row<"warming"> = {
  swap: (s) => {
    if (s.leaving) return goTo(s, tooLate());
    return goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.next }));
  },
  // Both serve clients now: the cutover is due within the warm-up; we go when the old one is gone. A second TERM does not wait
  // for the warm-up, a third one not for the old one.
  leave: (s, _, limits) => {
    if (!s.isConfirmed) return leaveUnconfirmed(s);
    if (s.leaving) return cutOver(s, limits);
    return goTo({ ...s, again: false, leaving: true }, ...(s.again ? [tooLate()] : []));
  },
  stop: stopBoth,
  quit: quitBoth,
  forward: passOn,
  ready: unchanged,
  overdue: unchanged,
  failed: nextFailed,
  exited: eitherDied,
  settled: (s, e, limits) => (isAbout(s.next, e) ? settle(s, limits) : unchanged(s)),
  hold: unchanged,
  resume: unchanged,
  confirm: (s, e) => (isAbout(s.next, e) ? goTo({ ...s, isConfirmed: true }) : unchanged(s)),
  rollback: (s, e) => (isAbout(s.next, e) ? flipBack(s, e.failure) : unchanged(s)),
  expired: unchanged,
  gone: treeGone,
};

export const warm: Row<"warm"> = {
  swap: (s, _, limits) => {
    if (s.isConfirmed) return cutOver({ ...s, again: true }, limits);
    return goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.next }));
  },
  leave: (s, _, limits) => (s.isConfirmed ? cutOver(s, limits, { leaving: true }) : leaveUnconfirmed(s)),
  stop: stopBoth,
  quit: quitBoth,
  forward: (s, e) => goTo(s, forward(s.current, e.signal), forward(s.next, e.signal)),
  ready: unchanged,
  overdue: unchanged,
  failed: nextFailed,
  exited: eitherDied,
  settled: unchanged,
  hold: (s, e, limits) => {
    if (!s.isConfirmed) return unchanged(s);
    const { state, effects } = cutOver({ ...s, again: false }, limits);
    return hold(state, s.next, e.ms, ...effects);
  },
  resume: unchanged,
  confirm: (s, e, limits) => (isAbout(s.next, e) && !s.isConfirmed ? confirm(s, limits) : unchanged(s)),
  rollback: (s, e) => (isAbout(s.next, e) ? flipBack(s, e.failure) : unchanged(s)),
  expired: (s, e, limits) => {
    if (!isAbout(s.next, e)) return unchanged(s);
    return s.isConfirmed ? cutOver(s, limits) : flipBack(s, e.failure);
  },
  gone: treeGone,
};
