/**
 * The swap as a pure, total table: phase x event -> next state and effects. No clock, no I/O, no log: the supervisor
 * feeds events one by one and carries the effects out.
 *
 *                     ready                  swap (HUP)              ready(next)
 *    starting ─────────────────▶ serving ───────────────▶ booting ───────────────▶ warming
 *       │                         ▲  ▲  ▲                    │                      │   │
 *       │ exited, failed          │  │  └─── gone(failed) ─ rolling-back ◀──────────┘   │ settled:
 *       ▼                         │  │                       ▲ exited(next), failed     │ retire the old one
 *    stopping ──▶ over            │  └───────────────────────┘                          │
 *    (stop, quit, leave, crash)   └─────────────────────────────────────────────────────┘
 *
 * The flip to a new generation's listener happens on entering `warming`; on the way to `rolling-back` it is taken back.
 *
 * With --confirm and --keep the old one is not retired there but stays as it is, in `warm`, until it is known which of the two remains:
 *
 *    warming ── settled ──▶ warm ── confirm, expired ──▶ serving (the old one drains)
 *       │ rollback           │ rollback; TERM or expired without a confirm
 *       └─────────┬──────────┘
 *                 ▼
 *           flipping-back ── settled: retire the new one ──▶ serving
 *
 * `holding` stands between `serving` and `booting`: the flip to the next one's listeners comes before its start. TERM from then on leads to
 * `rolling-back` with `leaving`: what waits there is answered by the old one, and then hupwatch ends.
 *
 * A HUP that comes meanwhile sets `again`: exactly one more swap follows, whatever the outcome of this one.
 *
 * A signal to pass on that comes during a swap is for both generations: the new one, too, may have opened the log files that are to
 * be reopened. It gets the signal at the cutover (`owed`). Before that its handler may be missing, and the default action would
 * kill it: its first worker is ready long before the last.
 *
 * Invariants (assertState and the tests carry their numbers; see the README):
 * I1 one generation at most is not ready · I2 no serving generation is told to stop before the next one has settled
 * I4 no HUP is lost · I8 a failed swap leaves the old one untouched · I9 what is not confirmed does not stay.
 */
import { crash, endByCrash, promote, respawn, startAfresh, startFailed } from "./death.ts";
import {
  confirm,
  cutOver,
  flipBack,
  flippedBack,
  leaveUnconfirmed,
  rollBack,
  settle,
  stayAfterAll,
  stopBoth,
} from "./flip.ts";
import {
  bootHeld,
  endGivenBack,
  giveBack,
  givenBackToNone,
  hold,
  holdFailed,
  released,
  rolledBack,
  unhold,
} from "./hold.ts";
import { withLooks } from "./looks.ts";
import {
  beginSwap,
  common,
  end,
  endAtOnce,
  forward,
  goTo,
  hurry,
  ignore,
  ignoreForward,
  isAbout,
  leaderGone,
  leave,
  leaveKeeping,
  passOn,
  retire,
  say,
  serveOrSwap,
  steer,
  tooLate,
  treeGone,
  unchanged,
  unsettle,
  withEffects,
} from "./moves.ts";
import type { Event, EventKind, Gen, In, Limits, Of, Phase, Retirement, State, Step } from "./states.ts";

export type * from "./states.ts";

type Cell<P extends Phase, K extends EventKind> = (state: In<P>, event: Of<K>, limits: Limits) => Step;
type Table = { [P in Phase]: { [K in EventKind]: Cell<P, K> } };

/** The first step over a survivor of an earlier hupwatch: a swap from it. */
export const takeOver = (survivor: Gen, last: Gen): Step =>
  beginSwap({ last, draining: [], crashes: [] }, survivor, say({ event: "taken-over", gen: survivor }));

/** The first step of all. */
export const begin = (): Step => ({
  state: {
    phase: "starting",
    next: 1,
    again: false,
    overdue: false,
    owed: [],
    last: 1,
    draining: [],
    crashes: [],
  },
  effects: [{ do: "boot", gen: 1, public: true }],
});

/** Total: every phase has an answer to every event. Never throws for an event that could really come. */
export function step(state: State, event: Event, limits: Limits): Step {
  const cell = TABLE[state.phase][event.kind] as Cell<Phase, EventKind>;
  const { state: next, effects } = cell(state, event, limits);
  return { state: next, effects: effects.flatMap(withLooks) };
}

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

const TABLE: Table = {
  starting: {
    swap: (s) => {
      if (s.overdue) return startAfresh(s);
      return goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.next }));
    },
    // Nothing serves yet that could be left behind.
    leave: (s) => end(s, { kind: "stopped", serving: s.next }, [[s.next, "abandon"]]),
    stop: (s) => end(s, { kind: "stopped", serving: s.next }, [[s.next, "abandon"]]),
    quit: (s) => endAtOnce(s, s.next, [s.next]),
    forward: (s, e) => goTo({ ...s, owed: [...s.owed, e.signal] }),
    ready: (s, e) =>
      isAbout(s.next, e)
        ? serveOrSwap(
            s,
            s.next,
            say({ event: "ready", gen: s.next }),
            // A server that binds its own path has only now made it.
            steer(s.next),
            say({ event: "serving", gen: s.next }),
            ...s.owed.map((signal) => forward(s.next, signal)),
          )
        : unchanged(s),
    overdue: (s, e) => {
      if (!isAbout(s.next, e)) return unchanged(s);
      return s.again ? startAfresh(s) : goTo({ ...s, overdue: true });
    },
    failed: (s, e, limits) => (isAbout(s.next, e) ? startFailed(s, e, "abandon", limits) : unchanged(s)),
    exited: (s, e, limits) => (isAbout(s.next, e) ? startFailed(s, e, "sweep", limits) : leaderGone(s, e)),
    settled: unchanged,
    hold: unchanged,
    resume: unchanged,
    confirm: unchanged,
    rollback: unchanged,
    expired: unchanged,
    gone: treeGone,
  },
  serving: {
    swap: (s) => beginSwap(s, s.current),
    leave: (s) => leave(s, s.current),
    stop: (s) => end(s, { kind: "stopped", serving: s.current }, [[s.current, "graceful"]]),
    quit: (s) => endAtOnce(s, s.current, [s.current]),
    forward: (s, e) => goTo(s, forward(s.current, e.signal)),
    ready: unchanged,
    overdue: unchanged,
    failed: unchanged,
    exited: (s, e, limits) => (isAbout(s.current, e) ? crash(s, s.current, e, limits) : leaderGone(s, e)),
    settled: unchanged,
    hold: (s, e) => hold(s, s.current, e.ms),
    resume: unchanged,
    confirm: unchanged,
    rollback: unchanged,
    expired: unchanged,
    gone: treeGone,
  },
  holding: {
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
  },
  booting: {
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
  },
  warming: {
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
  },
  warm: {
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
  },
  "rolling-back": {
    swap: (s) => {
      if (s.leaving) return goTo(s, tooLate());
      return goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.failed }));
    },
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
      return another
        ? withEffects(another, retire(s.failed, "kill"))
        : endByCrash(base, s.current, e.failure);
    },
    settled: (s, e) => (s.leaving && isAbout(s.current, e) ? endGivenBack(s, s.leaving.how) : unchanged(s)),
    hold: unchanged,
    resume: unchanged,
    confirm: unchanged,
    rollback: unchanged,
    expired: unchanged,
    gone: (s, e) => (isAbout(s.failed, e) ? rolledBack(s) : treeGone(s, e)),
  },
  "flipping-back": {
    swap: (s) => {
      if (s.leaving) return goTo(s, tooLate());
      return goTo({ ...s, again: true }, say({ event: "swap-queued", behind: s.failed }));
    },
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
  },
  stopping: {
    swap: ignore("swap", "hupwatch is stopping"),
    leave: hurry,
    // The generation that was to be left running is stopped after all.
    stop: (s) => {
      if (s.ending.kind !== "left") return hurry(s);
      const { serving } = s.ending;
      return end(s, { kind: "stopped", serving }, [[serving, "graceful"]]);
    },
    quit: (s) => (s.ending.kind === "left" ? endAtOnce(s, s.ending.serving, [s.ending.serving]) : hurry(s)),
    forward: ignoreForward,
    ready: unchanged,
    overdue: unchanged,
    failed: unchanged,
    exited: (s, e) => {
      if (s.ending.kind === "left" && isAbout(s.ending.serving, e)) return endByCrash(s, e.gen, e.failure);
      if (s.ending.kind !== "stopped" || !isAbout(s.ending.serving, e)) return leaderGone(s, e);
      return e.failure.exit ? goTo({ ...s, ending: { ...s.ending, exit: e.failure.exit } }) : unchanged(s);
    },
    settled: unchanged,
    hold: unchanged,
    resume: unchanged,
    confirm: unchanged,
    rollback: unchanged,
    expired: unchanged,
    gone: treeGone,
  },
  over: {
    swap: ignore("swap", "hupwatch is ending"),
    leave: unchanged,
    stop: unchanged,
    quit: unchanged,
    forward: unchanged,
    ready: unchanged,
    overdue: unchanged,
    failed: unchanged,
    exited: unchanged,
    settled: unchanged,
    hold: unchanged,
    resume: unchanged,
    confirm: unchanged,
    rollback: unchanged,
    expired: unchanged,
    gone: treeGone,
  },
};

/** What must hold in every state; throws a plain Error (a bug) where it does not. */
export function assertState(state: State): void {
  const { last, draining } = state;
  const demand = (ok: boolean, what: string) => {
    if (!ok) throw new Error(`impossible state, ${what}: ${JSON.stringify(state)}`);
  };
  demand(new Set(draining).size === draining.length, "a generation drains twice");
  const named = "next" in state ? [state.next] : [];
  if ("current" in state) named.push(state.current);
  if ("failed" in state) named.push(state.failed);
  demand(new Set(named).size === named.length, "one generation in two roles");
  demand(
    named.every((g) => !draining.includes(g)),
    "a generation in use is also draining",
  );
  demand(
    [...named, ...draining].every((g) => g >= 1 && g <= last),
    "a generation beyond the last number",
  );
  if (
    state.phase === "booting" ||
    state.phase === "warming" ||
    state.phase === "warm" ||
    state.phase === "holding"
  )
    demand(state.next > state.current, "I4: the successor is not newer");
}
