/**
 * The swap as a pure, total table: phase x event -> next state and effects. No clock, no I/O, no log: the supervisor
 * feeds events one by one and carries the effects out.
 *
 *                     ready                  swap (HUP)              ready(next)
 *    starting ─────────────────▶ serving ───────────────▶ booting ───────────────▶ warming
 *       │                         ▲  ▲  ▲                    │                      │   │
 *       │ exited, failed          │  │  └──── gone(failed) ── undoing ◀─────────────┘   │ settled:
 *       ▼                         │  │                       ▲ exited(next), failed     │ retire the old one
 *    stopping ──▶ over            │  └───────────────────────┘                          │
 *    (stop, quit, leave, crash)   └─────────────────────────────────────────────────────┘
 *
 * The flip to a new generation's listener happens on entering `warming`; on the way to `undoing` it is taken back.
 * A HUP that comes meanwhile sets `again`: exactly one more swap follows, whatever the outcome of this one.
 *
 * A signal to pass on that comes in a swap is for both: the successor may have opened the very log files that are to be opened
 * again. To it the signal is `owed` until the cutover: who has no handler yet would die of it, and of its workers the first
 * one is ready long before the last.
 *
 * Invariants (assertState and the tests carry their numbers; see the README):
 * I1 one generation at most is not ready · I2 nobody who serves is asked to stop before the successor has settled
 * I4 no HUP is lost · I8 a failed swap leaves the old one untouched.
 */
import type {
  Common,
  Effect,
  Ending,
  Event,
  EventKind,
  Failure,
  Fall,
  Gen,
  Limits,
  Phase,
  Report,
  Retirement,
  State,
  Step,
} from "./states.ts";

export type * from "./states.ts";

type In<P extends Phase> = Extract<State, { phase: P }>;
type Of<K extends EventKind> = Extract<Event, { kind: K }>;
type Cell<P extends Phase, K extends EventKind> = (state: In<P>, event: Of<K>, limits: Limits) => Step;
type Table = { [P in Phase]: { [K in EventKind]: Cell<P, K> } };

/** The first step over a survivor of an earlier hupwatch: a swap from it. */
export const takeOver = (survivor: Gen, last: Gen): Step =>
  serve({ last, draining: [], crashes: [] }, survivor, true, say({ event: "taken-over", gen: survivor }));

/** The first step of all. */
export const begin = (): Step => ({
  state: { phase: "starting", next: 1, again: false, owed: [], last: 1, draining: [], crashes: [] },
  effects: [{ do: "boot", gen: 1, public: true }],
});

/** Total: every phase has an answer to every event. Never throws for an event that could really come. */
export function step(state: State, event: Event, limits: Limits): Step {
  if (event.kind === "gone" && state.draining.includes(event.gen)) {
    const rest = { ...state, draining: state.draining.filter((g) => g !== event.gen) };
    return withEffects(finishIfEmpty(rest), say({ event: "gone", gen: event.gen }));
  }
  const cell = TABLE[state.phase][event.kind] as Cell<Phase, EventKind>;
  return cell(state, event, limits);
}

// ---- the cells' words ------------------------------------------------------------------------------------------------

const boot = (gen: Gen): Effect => ({ do: "boot", gen, public: false });
const steer = (to: Gen): Effect => ({ do: "steer", to });
const retire = (gen: Gen, how: Retirement): Effect => ({ do: "retire", gen, how });
const forward = (gen: Gen, signal: string): Effect => ({ do: "forward", gen, signal });
const say = (report: Report): Effect => ({ do: "report", report });
const stay = (state: State, ...effects: Effect[]): Step => ({ state, effects });
const common = ({ last, draining, crashes }: Common): Common => ({ last, draining, crashes });
const withEffects = (s: Step, ...first: Effect[]): Step => ({
  state: s.state,
  effects: [...first, ...s.effects],
});

const nothing = (state: State): Step => stay(state);
const ignore = (what: string, why: string) => (state: State) =>
  stay(state, say({ event: "ignored", what, why }));

/** Serving, and on to the next swap where a HUP waits. */
function serve(base: Common, current: Gen, again: boolean, ...effects: Effect[]): Step {
  if (!again) return stay({ phase: "serving", current, ...common(base) }, ...effects);
  const next = base.last + 1;
  return stay(
    { phase: "booting", current, next, again: false, owed: [], ...common(base), last: next },
    ...effects,
    boot(next),
  );
}

/** Puts a generation among the draining ones, hurrying the oldest where there are too many. */
function drain(base: Common, gen: Gen, how: Retirement, limits: Limits): { base: Common; effects: Effect[] } {
  const draining = [...base.draining, gen];
  const tooMany =
    draining.length > limits.maxDraining ? draining.slice(0, draining.length - limits.maxDraining) : [];
  return {
    base: { ...common(base), draining },
    effects: [retire(gen, how), ...tooMany.filter((g) => g !== gen).map((g) => retire(g, "kill"))],
  };
}

/** Everybody goes, each in its way; then hupwatch does. */
function end(base: Common, ending: Ending, leaving: [Gen, Retirement][]): Step {
  const gens = leaving.map(([gen]) => gen);
  const state: State = { phase: "stopping", ending, ...common(base), draining: [...base.draining, ...gens] };
  return withEffects(
    finishIfEmpty(state),
    ...(ending.kind === "failed" ? [] : [say({ event: "stopping", gens })]),
    ...leaving.map(([gen, how]) => retire(gen, how)),
  );
}

/** QUIT: nobody is asked, everybody is killed, those that still drain included. */
function endAtOnce(base: Common, serving: Gen, gens: Gen[]): Step {
  const killed = gens.map((gen): [Gen, Retirement] => [gen, "kill"]);
  const hurried = base.draining.map((gen) => retire(gen, "kill"));
  return withEffects(end(base, { kind: "stopped", serving }, killed), ...hurried);
}

function finishIfEmpty(state: State): Step {
  if (state.phase !== "stopping" || state.draining.length > 0) return stay(state);
  return stay({ ...state, phase: "over" }, { do: "end", ending: state.ending });
}

/** The serving generation died by itself: another one takes its place, or hupwatch ends. */
function crash(base: Common, gen: Gen, { failure, at }: Died, again: boolean, limits: Limits): Step {
  return respawn(base, gen, "sweep", { failure, at }, again, limits) ?? endByCrash(base, gen, failure);
}

/** What remains of it is swept and what still drains is hurried. */
function endByCrash(base: Common, gen: Gen, failure: Failure): Step {
  const hurried = base.draining.map((g) => retire(g, "kill"));
  const ended = end(base, { kind: "failed", failure }, [[gen, "sweep"]]);
  return withEffects(ended, say({ event: "crashed", gen, failure }), ...hurried);
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;

/**
 * A new generation on the dead one's listeners, later after each death; undefined where the limit is reached. One that
 * was not ready in time still lives: it is killed first, so that it neither answers in the heir's place nor breaks I1.
 */
function respawn(
  base: Common,
  dead: Gen,
  how: "sweep" | "kill",
  { failure, at }: Died,
  again: boolean,
  { respawn: limit }: Limits,
): Step | undefined {
  const crashes = [...base.crashes, at].filter((t) => limit && t > at - limit.withinMs);
  if (!limit || crashes.length > limit.times) return undefined;
  const next = base.last + 1;
  const afterMs =
    crashes.length === 1 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (crashes.length - 2), MAX_PAUSE_MS);
  return stay(
    {
      phase: "starting",
      next,
      again,
      owed: [],
      fallen: { failure, respawned: true },
      last: next,
      draining: [...base.draining, dead],
      crashes,
    },
    say({ event: "crashed", gen: dead, failure }),
    say({ event: "respawning", gen: next, afterMs }),
    ...(how === "kill" ? [retire(dead, how)] : []),
    { do: "boot", gen: next, public: true, heirOf: dead, afterMs },
    ...(how === "sweep" ? [retire(dead, how)] : []),
  );
}

/** The new generation is no good: the old one goes on, and the failed one is taken down before anything else starts. */
function undo(
  state: In<"booting"> | In<"warming">,
  how: Retirement,
  failure: Failure,
  ...first: Effect[]
): Step {
  const { current, next, again } = state;
  const told = [...first, say({ event: "rolled-back", gen: next, to: current, failure })];
  if (state.phase === "warming" && state.leaving)
    return withEffects(end(state, { kind: "left", serving: current }, [[next, how]]), ...told);
  return stay(
    { phase: "undoing", current, failed: next, again, ...common(state) },
    ...told,
    retire(next, how),
  );
}

/** The new generation stays and the old one goes. */
function cutOver(state: In<"warming">, how: Retirement, limits: Limits): Step {
  const { base, effects } = drain(state, state.current, how, limits);
  const done = [
    say({ event: "swapped", gen: state.next, from: state.current }),
    ...state.owed.map((signal) => forward(state.next, signal)),
  ];
  if (state.leaving) {
    const ending: Ending = { kind: "left", serving: state.next };
    return stay({ phase: "over", ending, ...base }, ...done, ...effects, { do: "end", ending });
  }
  return serve(base, state.next, state.again, ...done, ...effects);
}

/** To the old one now, to its successor when it has taken its place. */
const passOn = (state: In<"booting"> | In<"warming">, { signal }: Of<"forward">): Step =>
  stay({ ...state, owed: [...state.owed, signal] }, forward(state.current, signal));

/** The serving one died while its successor was booting: the successor is all there is, so it gets the clients now. */
function promote(state: In<"booting">, { failure, at }: Died, limits: Limits): Step {
  const { base, effects } = drain(state, state.current, "sweep", limits);
  const fallen: Fall = { failure, respawned: limits.respawn !== undefined };
  return stay(
    {
      phase: "starting",
      next: state.next,
      again: state.again,
      owed: state.owed,
      fallen,
      ...base,
      crashes: [...base.crashes, at],
    },
    say({ event: "crashed", gen: state.current, failure }),
    steer(state.next),
    ...effects,
  );
}

/** TERM without -k while one generation serves: the unfinished one is taken down first, the serving one stays. */
function leaveKeeping(state: In<"booting"> | In<"undoing">, unfinished: Gen): Step {
  const ending: Ending = { kind: "left", serving: state.current };
  const unanswered = state.phase === "booting" || state.again;
  return withEffects(end(state, ending, [[unfinished, "kill"]]), ...(unanswered ? [tooLate()] : []));
}

/** I4: a HUP that nobody will carry out any more is at least refused aloud. */
const tooLate = () => say({ event: "ignored", what: "swap", why: "hupwatch is leaving" });

type Died = { failure: Failure; at: number };

const mine = (gen: Gen, event: { gen: Gen }) => event.gen === gen;

// ---- the table -------------------------------------------------------------------------------------------------------

const TABLE: Table = {
  starting: {
    swap: (s) => stay({ ...s, again: true }, say({ event: "swap-queued", behind: s.next })),
    // Nothing serves yet that could be left behind.
    leave: (s) => end(s, { kind: "stopped", serving: s.next }, [[s.next, "abandon"]]),
    stop: (s) => end(s, { kind: "stopped", serving: s.next }, [[s.next, "abandon"]]),
    quit: (s) => endAtOnce(s, s.next, [s.next]),
    forward: (s, e) => stay({ ...s, owed: [...s.owed, e.signal] }),
    ready: (s, e) =>
      mine(s.next, e)
        ? serve(
            s,
            s.next,
            s.again,
            say({ event: "ready", gen: s.next }),
            // A server that binds its own path has only now made it.
            steer(s.next),
            say({ event: "serving", gen: s.next }),
            ...s.owed.map((signal) => forward(s.next, signal)),
          )
        : nothing(s),
    failed: (s, e, limits) => (mine(s.next, e) ? startFailed(s, e, "abandon", limits) : nothing(s)),
    exited: (s, e, limits) => (mine(s.next, e) ? startFailed(s, e, "sweep", limits) : nothing(s)),
    settled: nothing,
    gone: nothing,
  },
  serving: {
    swap: (s) => serve(s, s.current, true),
    leave: (s) => {
      const ending: Ending = { kind: "left", serving: s.current };
      return stay({ phase: "over", ending, ...common(s) }, { do: "end", ending });
    },
    stop: (s) => end(s, { kind: "stopped", serving: s.current }, [[s.current, "graceful"]]),
    quit: (s) => endAtOnce(s, s.current, [s.current]),
    forward: (s, e) => stay(s, forward(s.current, e.signal)),
    ready: nothing,
    failed: nothing,
    exited: (s, e, limits) => (mine(s.current, e) ? crash(s, s.current, e, false, limits) : nothing(s)),
    settled: nothing,
    gone: nothing,
  },
  booting: {
    swap: (s) => stay({ ...s, again: true }, say({ event: "swap-queued", behind: s.next })),
    leave: (s) => leaveKeeping(s, s.next),
    stop: (s) =>
      end(s, { kind: "stopped", serving: s.current }, [
        [s.next, "abandon"],
        [s.current, "graceful"],
      ]),
    quit: (s) => endAtOnce(s, s.current, [s.next, s.current]),
    forward: passOn,
    ready: (s, e) => {
      if (!mine(s.next, e)) return nothing(s);
      const { current, next, again, owed } = s;
      return stay(
        { phase: "warming", current, next, again, owed, leaving: false, ...common(s) },
        say({ event: "ready", gen: next }),
        steer(next),
        { do: "settle", old: current, next },
      );
    },
    failed: (s, e) => (mine(s.next, e) ? undo(s, "abandon", e.failure) : nothing(s)),
    exited: (s, e, limits) => {
      if (mine(s.next, e)) return undo(s, "sweep", e.failure);
      return mine(s.current, e) ? promote(s, e, limits) : nothing(s);
    },
    settled: nothing,
    gone: nothing,
  },
  warming: {
    swap: (s) => {
      if (s.leaving) return stay(s, tooLate());
      return stay({ ...s, again: true }, say({ event: "swap-queued", behind: s.next }));
    },
    // Both serve clients now: the cutover is due within the warm-up, then we go. Whoever asks twice is obeyed at once.
    leave: (s, _, limits) => {
      if (s.leaving) return cutOver(s, "graceful", limits);
      return stay({ ...s, again: false, leaving: true }, ...(s.again ? [tooLate()] : []));
    },
    stop: (s) =>
      end(s, { kind: "stopped", serving: s.next }, [
        [s.current, "graceful"],
        [s.next, "graceful"],
      ]),
    quit: (s) => endAtOnce(s, s.next, [s.current, s.next]),
    forward: passOn,
    ready: nothing,
    failed: (s, e) => (mine(s.next, e) ? undo(s, "abandon", e.failure, steer(s.current)) : nothing(s)),
    exited: (s, e, limits) => {
      if (mine(s.next, e)) return undo(s, "sweep", e.failure, steer(s.current));
      return mine(s.current, e) ? cutOver(s, "sweep", limits) : nothing(s);
    },
    settled: (s, e, limits) => (mine(s.next, e) ? cutOver(s, "graceful", limits) : nothing(s)),
    gone: nothing,
  },
  undoing: {
    swap: (s) => stay({ ...s, again: true }, say({ event: "swap-queued", behind: s.failed })),
    leave: (s) => leaveKeeping(s, s.failed),
    stop: (s) =>
      end(s, { kind: "stopped", serving: s.current }, [
        [s.failed, "kill"],
        [s.current, "graceful"],
      ]),
    quit: (s) => endAtOnce(s, s.current, [s.failed, s.current]),
    forward: (s, e) => stay(s, forward(s.current, e.signal)),
    ready: nothing,
    failed: (s, e) =>
      mine(s.current, e)
        ? stay(s, say({ event: "unreachable", gen: s.current, failure: e.failure }))
        : nothing(s),
    exited: (s, e, limits) => {
      if (!mine(s.current, e)) return nothing(s);
      const base = { ...common(s), draining: [...s.draining, s.failed] };
      const another = respawn(base, s.current, "sweep", e, s.again, limits);
      return another
        ? withEffects(another, retire(s.failed, "kill"))
        : endByCrash(base, s.current, e.failure);
    },
    settled: nothing,
    gone: (s, e) =>
      mine(s.failed, e) ? serve(s, s.current, s.again, say({ event: "gone", gen: e.gen })) : nothing(s),
  },
  stopping: {
    swap: ignore("swap", "hupwatch is stopping"),
    leave: hurry,
    // Who was to be left running is stopped after all.
    stop: (s) => {
      if (s.ending.kind !== "left") return hurry(s);
      const { serving } = s.ending;
      return end(s, { kind: "stopped", serving }, [[serving, "graceful"]]);
    },
    quit: (s) => (s.ending.kind === "left" ? endAtOnce(s, s.ending.serving, [s.ending.serving]) : hurry(s)),
    forward: ignoreForward,
    ready: nothing,
    failed: nothing,
    exited: (s, e) => {
      if (s.ending.kind === "left" && mine(s.ending.serving, e)) return endByCrash(s, e.gen, e.failure);
      if (s.ending.kind !== "stopped" || !mine(s.ending.serving, e) || !e.failure.exit) return nothing(s);
      return stay({ ...s, ending: { ...s.ending, exit: e.failure.exit } });
    },
    settled: nothing,
    gone: nothing,
  },
  over: {
    swap: ignore("swap", "hupwatch is ending"),
    leave: nothing,
    stop: nothing,
    quit: nothing,
    forward: nothing,
    ready: nothing,
    failed: nothing,
    exited: nothing,
    settled: nothing,
    gone: nothing,
  },
};

function ignoreForward(state: State, event: Of<"forward">): Step {
  return stay(state, say({ event: "ignored", what: event.signal, why: "no generation serves" }));
}

/** The second request to stop: nobody waits any longer. */
function hurry(state: In<"stopping">): Step {
  return stay(state, ...state.draining.map((g) => retire(g, "kill")));
}

function startFailed(state: In<"starting">, { failure, at }: Died, how: Retirement, limits: Limits): Step {
  if (state.fallen?.respawned) {
    const rest = how === "sweep" ? how : "kill";
    const another = respawn(state, state.next, rest, { failure, at }, state.again, limits);
    if (another) return another;
  }
  const first = state.fallen?.failure ?? failure;
  const ended = end(state, { kind: "failed", failure: first }, [[state.next, how]]);
  return withEffects(ended, say({ event: "start-failed", gen: state.next, failure }));
}

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
  if (state.phase === "booting" || state.phase === "warming")
    demand(state.next > state.current, "I4: the successor is not newer");
}
