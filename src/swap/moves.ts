/**
 * The moves of the machine: what its cells are made of, each a whole step or a part of one. As pure as the table itself
 * (machine.ts), which alone says when they are made.
 */
import type {
  Common,
  Died,
  Effect,
  Ending,
  Failure,
  Fall,
  Gen,
  In,
  Limits,
  Of,
  Report,
  Retirement,
  State,
  Step,
} from "./states.ts";

const boot = (gen: Gen): Effect => ({ do: "boot", gen, public: false });
export const steer = (to: Gen): Effect => ({ do: "steer", to });
export const unsettle: Effect = { do: "unsettle" };
export const retire = (gen: Gen, how: Retirement): Effect => ({ do: "retire", gen, how });
export const forward = (gen: Gen, signal: string): Effect => ({ do: "forward", gen, signal });
export const say = (report: Report): Effect => ({ do: "report", report });
export const goTo = (state: State, ...effects: Effect[]): Step => ({ state, effects });
export const common = ({ last, draining, crashes }: Common): Common => ({ last, draining, crashes });
export const withEffects = (s: Step, ...first: Effect[]): Step => ({
  state: s.state,
  effects: [...first, ...s.effects],
});

export const unchanged = (state: State): Step => goTo(state);
export const ignore = (what: string, why: string) => (state: State) =>
  goTo(state, say({ event: "ignored", what, why }));

/** The generation serves, and nothing else is under way. */
export const serve = (base: Common, current: Gen, ...effects: Effect[]): Step =>
  goTo({ phase: "serving", current, ...common(base) }, ...effects, { do: "unwatch", gen: current });

/** The generation serves, and the next one boots. */
export function beginSwap(base: Common, current: Gen, ...effects: Effect[]): Step {
  const next = base.last + 1;
  return goTo(
    { phase: "booting", current, next, again: false, owed: [], isHeld: false, ...common(base), last: next },
    ...effects,
    boot(next),
  );
}

/** New connections wait for the generation that the next swap starts, on whichever request. */
export function hold(base: Common, current: Gen, ms: number, ...effects: Effect[]): Step {
  const next = base.last + 1;
  return goTo(
    { phase: "holding", current, next, ...common(base), last: next },
    ...effects,
    { do: "hold", gen: next, ms },
    say({ event: "holding", gen: next, forMs: ms }),
  );
}

/** The one that gets those that wait is started. */
export function bootHeld(state: In<"holding">, why: "reload" | "request" | "deadline"): Step {
  const { current, next } = state;
  return goTo(
    { phase: "booting", current, next, again: false, owed: [], isHeld: true, ...common(state) },
    unsettle,
    say({ event: "hold-ended", gen: next, why }),
    { do: "boot", gen: next, public: false, isHeld: true },
  );
}

/** Connections could not be held: those that wait already are passed on. */
export function holdFailed(state: In<"holding">, failure: Failure): Step {
  const { current, next } = state;
  return serve(
    { ...common(state), draining: [...state.draining, next] },
    current,
    unsettle,
    steer(current),
    say({ event: "hold-failed", failure }),
    retire(next, "kill"),
  );
}

/** Where new connections wait for the next one, they go to the serving one again. */
export const unhold = (state: State): Effect[] => {
  if (state.phase === "holding") return [unsettle, steer(state.current)];
  return state.phase === "booting" && state.isHeld ? [steer(state.current)] : [];
};

/** Serving, and on to the next swap where a HUP waits. */
export const serveOrSwap = (base: Common & { again: boolean }, current: Gen, ...effects: Effect[]): Step =>
  base.again ? beginSwap(base, current, ...effects) : serve(base, current, ...effects);

/** The generation that new connections are sent to; undefined where none could answer them. */
function served(state: State): Gen | undefined {
  switch (state.phase) {
    case "starting":
    case "warming":
    case "warm":
    case "holding":
      return state.next;
    case "booting":
      return state.isHeld ? state.next : state.current;
    case "serving":
    case "rolling-back":
    case "flipping-back":
      return state.current;
    case "stopping":
      return state.ending.kind === "failed" ? undefined : state.ending.serving;
    case "over":
      return undefined;
  }
}

/** The clients that wait for a dead generation can be passed on only while another one serves. */
function rescue(state: State, gen: Gen): Effect[] {
  const serving = served(state);
  return serving === undefined || serving === gen ? [] : [{ do: "rescue", gen }];
}

/** The leader of a retired generation has ended. */
export function leaderGone(state: State, { gen, failure }: Of<"exited">): Step {
  if (!state.draining.includes(gen)) return unchanged(state);
  const told = failure.isUnasked ? [say({ event: "died", gen, failure })] : [];
  return goTo(state, ...told, ...rescue(state, gen));
}

/** The whole tree of a retired generation has ended: its listeners go, once no client waits in them. */
export function treeGone(state: State, { gen }: Of<"gone">): Step {
  if (!state.draining.includes(gen)) return unchanged(state);
  const rest = finishIfEmpty({ ...state, draining: state.draining.filter((g) => g !== gen) });
  return withEffects(rest, ...letGo(rest.state, gen));
}

const letGo = (state: State, gen: Gen): Effect[] => [
  say({ event: "gone", gen }),
  ...rescue(state, gen),
  { do: "release", gen },
];

/** Puts a generation among the draining ones, hurrying the oldest where there are too many. */
function drain(base: Common, gen: Gen, how: Retirement, limits: Limits): { base: Common; effects: Effect[] } {
  const draining = [...base.draining, gen];
  const tooMany =
    draining.length > limits.maxDraining ? draining.slice(0, draining.length - limits.maxDraining) : [];
  const { maxDraining } = limits;
  const hurried = tooMany
    .filter((g) => g !== gen)
    .flatMap((g) => [say({ event: "hurried", gen: g, maxDraining }), retire(g, "kill")]);
  return { base: { ...common(base), draining }, effects: [retire(gen, how), ...hurried] };
}

/** Every generation is stopped, each in its way; then hupwatch ends. */
export function end(base: Common, ending: Ending, leaving: [Gen, Retirement][]): Step {
  const gens = leaving.map(([gen]) => gen);
  const state: State = { phase: "stopping", ending, ...common(base), draining: [...base.draining, ...gens] };
  return withEffects(
    finishIfEmpty(state),
    ...(ending.kind === "failed" ? [] : [say({ event: "stopping", gens })]),
    ...leaving.map(([gen, how]) => retire(gen, how)),
  );
}

/** QUIT: every generation is killed without a stop signal, also those that still drain. */
export function endAtOnce(base: Common, serving: Gen, gens: Gen[]): Step {
  const killed = gens.map((gen): [Gen, Retirement] => [gen, "kill"]);
  const hurried = base.draining.map((gen) => retire(gen, "kill"));
  return withEffects(end(base, { kind: "stopped", serving }, killed), ...hurried);
}

export function finishIfEmpty(state: State): Step {
  if (state.phase !== "stopping" || state.draining.length > 0) return goTo(state);
  return goTo({ ...state, phase: "over" }, { do: "end", ending: state.ending });
}

/** The serving generation died by itself: another one takes its place, or hupwatch ends. */
export const crash = (base: Common, gen: Gen, died: Died, limits: Limits): Step =>
  respawn({ ...common(base), again: false }, { gen, how: "sweep", died }, limits) ??
  endByCrash(base, gen, died.failure);

/** What remains of it is swept and what still drains is hurried. */
export function endByCrash(base: Common, gen: Gen, failure: Failure): Step {
  const hurried = base.draining.map((g) => retire(g, "kill"));
  const ended = end(base, { kind: "failed", failure }, [[gen, "sweep"]]);
  return withEffects(ended, say({ event: "crashed", gen, failure }), ...hurried);
}

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;

/**
 * A new generation on the dead one's listeners, later after each death; undefined where the limit is reached. One that
 * was not ready in time still lives: it is killed first, so that it neither answers in its successor's place nor breaks I1.
 */
export function respawn(
  base: Common & { again: boolean },
  { gen: dead, how, died: { failure, at } }: { gen: Gen; how: "sweep" | "kill"; died: Died },
  { respawn: limit }: Limits,
): Step | undefined {
  const crashes = [...base.crashes, at].filter((t) => limit && t > at - limit.withinMs);
  if (!limit || crashes.length > limit.times) return undefined;
  const next = base.last + 1;
  const afterMs =
    crashes.length === 1 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (crashes.length - 2), MAX_PAUSE_MS);
  return goTo(
    {
      phase: "starting",
      next,
      again: base.again,
      overdue: false,
      owed: [],
      fallen: { failure, respawned: true },
      last: next,
      draining: [...base.draining, dead],
      crashes,
    },
    say({ event: "crashed", gen: dead, failure }),
    say({ event: "respawning", gen: next, afterMs }),
    ...(how === "kill" ? [retire(dead, how)] : []),
    { do: "boot", gen: next, public: true, succeeds: dead, afterMs },
    ...(how === "sweep" ? [retire(dead, how)] : []),
  );
}

/** The new generation is no good: the old one goes on, and the failed one is taken down before anything else starts. */
export function rollBack(
  state: In<"booting"> | In<"warming"> | In<"warm">,
  how: "sweep" | "abandon",
  failure: Failure,
): Step {
  const { current, next, again } = state;
  const told = say({ event: "rolled-back", gen: next, to: current, failure });
  const isHeld = state.phase === "booting" && state.isHeld;
  const rollingBack: State = {
    phase: "rolling-back",
    ...{ current, failed: next, again, isHeld },
    ...common(state),
  };
  if (state.phase === "booting") {
    const waiting = isHeld && how === "sweep" ? rescue(rollingBack, next) : [];
    return goTo(rollingBack, ...unhold(state), told, retire(next, how), ...waiting);
  }
  const rolledBack = isLeaving(state)
    ? end(state, { kind: "left", serving: current }, [[next, how]])
    : goTo(rollingBack, retire(next, how));
  const freed = how === "sweep" ? rescue(rolledBack.state, next) : [];
  return {
    state: rolledBack.state,
    effects: [unsettle, steer(current), told, ...rolledBack.effects, ...freed],
  };
}

const isLeaving = (state: State): boolean => "leaving" in state && state.leaving === true;

/**
 * The new one lives, and the old one gets its clients back in one step. It drains as any that is replaced, once what was on its way
 * to it has arrived.
 */
export function flipBack(state: In<"warming"> | In<"warm">, failure: Failure, leaving: boolean): Step {
  const { current, next, again } = state;
  return goTo(
    { phase: "flipping-back", current, failed: next, again, leaving, ...common(state) },
    unsettle,
    steer(current),
    say({ event: "rolled-back", gen: next, to: current, failure }),
    { do: "settle", old: next, next: current, warmUp: false },
  );
}

/** The old one serves again, and the one that was flipped back from drains, or is swept where it has died. */
export function flippedBack(state: In<"flipping-back">, limits: Limits, died = false): Step {
  const { current, failed, again } = state;
  const { base, effects } = drain(state, failed, died ? "sweep" : "drain", limits);
  const done = [unsettle, ...effects, ...(died ? rescue(state, failed) : [])];
  if (state.leaving) return withEffects(leave(base, current), ...done);
  return serveOrSwap({ ...base, again }, current, ...done);
}

/** I3: the one that was flipped back to is of no use. The other one still lives and serves: better than none. */
export function stayAfterAll(
  state: In<"flipping-back">,
  how: "sweep" | "drain",
  told: Report,
  limits: Limits,
): Step {
  const { current, failed, again } = state;
  const { base, effects } = drain(state, current, how, limits);
  const serving = say({ event: "serving", gen: failed });
  const done = [unsettle, say(told), steer(failed), ...effects, serving];
  const rescued: Effect[] = how === "sweep" ? [{ do: "rescue", gen: current }] : [];
  if (state.leaving) return withEffects(leave(base, failed), ...done, ...rescued);
  return serveOrSwap({ ...base, again }, failed, ...done, ...rescued);
}

/** What was on its way to the old generation has arrived: it is kept until it is known whether clients go back to it, or it goes. */
export function settle(state: In<"warming">, limits: Limits): Step {
  const { confirmMs } = limits;
  const { current, next, again, isConfirmed, owed } = state;
  if (isConfirmed || confirmMs === undefined) return confirm(state, limits);
  return goTo(
    { phase: "warm", current, next, again, isConfirmed: false, ...common(state) },
    unsettle,
    say({ event: "unconfirmed", gen: next, from: current, forMs: confirmMs }),
    ...owed.map((signal) => forward(next, signal)),
    { do: "await", gen: next, ms: confirmMs, isJudged: true },
  );
}

/** It is good. The old one is kept for a while, where it is to be, and nothing else is due. */
export function confirm(state: In<"warming"> | In<"warm">, limits: Limits): Step {
  const { keepMs } = limits;
  const { current, next, again } = state;
  if (keepMs === undefined || again || isLeaving(state)) return cutOver(state, limits);
  return goTo(
    { phase: "warm", current, next, again, isConfirmed: true, ...common(state) },
    unsettle,
    say({ event: "swapped", gen: next, from: current, keptMs: keepMs }),
    ...owedBy(state),
    { do: "unwatch", gen: next },
    { do: "await", gen: next, ms: keepMs, isJudged: false },
  );
}

const owedBy = (state: In<"warming"> | In<"warm">): Effect[] =>
  state.phase === "warming" ? state.owed.map((signal) => forward(state.next, signal)) : [];

/** The new generation stays and the old one goes: it drains, or is swept where it has `died`. */
export function cutOver(
  state: In<"warming"> | In<"warm">,
  limits: Limits,
  { died, leaving = isLeaving(state) }: { died?: Failure; leaving?: boolean } = {},
): Step {
  const { current, next } = state;
  const { base, effects } = drain(state, current, died ? "sweep" : "drain", limits);
  const isTold = state.phase === "warm" && state.isConfirmed;
  const done = [
    unsettle,
    ...(died ? [say({ event: "died", gen: current, failure: died })] : []),
    ...(isTold ? [] : [say({ event: "swapped", gen: next, from: current })]),
    ...owedBy(state),
    ...effects,
    ...(died ? rescue(state, current) : []),
  ];
  if (leaving) return withEffects(leave(base, next), ...done);
  return serveOrSwap({ ...base, again: state.again }, next, ...done);
}

const UNCONFIRMED: Failure = { reason: "was not confirmed, and hupwatch was told to end" };

/** I9: TERM without -k gives the clients back first. */
export const leaveUnconfirmed = (state: In<"warming"> | In<"warm">): Step =>
  withEffects(flipBack({ ...state, again: false }, UNCONFIRMED, true), ...(state.again ? [tooLate()] : []));

/** TERM with -k while both live: what is not confirmed has no clients at the end. */
export function stopBoth(state: In<"warming"> | In<"warm">): Step {
  const { current, next, isConfirmed } = state;
  const both: [Gen, Retirement][] = [
    [current, "graceful"],
    [next, "graceful"],
  ];
  if (isConfirmed) return withEffects(end(state, { kind: "stopped", serving: next }, both), unsettle);
  const back = [
    unsettle,
    steer(current),
    say({ event: "rolled-back", gen: next, to: current, failure: UNCONFIRMED }),
  ];
  return withEffects(end(state, { kind: "stopped", serving: current }, both), ...back);
}

/**
 * TERM without -k where nothing is unfinished: the serving one stays. hupwatch waits for what drains, since no other process
 * would send it the signals that are still due.
 */
export function leave(base: Common, serving: Gen): Step {
  const ending: Ending = { kind: "left", serving };
  const { draining } = base;
  const told = draining.length > 0 ? [say({ event: "stopping", gens: draining })] : [];
  return withEffects(finishIfEmpty({ phase: "stopping", ending, ...common(base) }), ...told);
}

/** To the old one now, to its successor when it has taken its place. */
export const passOn = (state: In<"booting"> | In<"warming">, { signal }: Of<"forward">): Step =>
  goTo({ ...state, owed: [...state.owed, signal] }, forward(state.current, signal));

/** The serving one died while its successor was booting: the successor is all there is, so it gets the clients now. */
export function promote(state: In<"booting">, { failure, at }: Died, limits: Limits): Step {
  const { base, effects } = drain(state, state.current, "sweep", limits);
  const fallen: Fall = { failure, respawned: limits.respawn !== undefined };
  return goTo(
    {
      phase: "starting",
      next: state.next,
      again: state.again,
      overdue: false,
      owed: state.owed,
      fallen,
      ...base,
      crashes: [...base.crashes, at],
    },
    say({ event: "crashed", gen: state.current, failure }),
    steer(state.next),
    ...effects,
    { do: "rescue", gen: state.current },
  );
}

const isUnanswered = (state: State): boolean =>
  state.phase === "booting" || (state.phase === "rolling-back" && state.again);

/** TERM without -k while one generation serves: the unfinished one is taken down first, the serving one stays. */
export function leaveKeeping(state: In<"booting"> | In<"rolling-back">, unfinished: Gen): Step {
  const ending: Ending = { kind: "left", serving: state.current };
  return withEffects(end(state, ending, [[unfinished, "kill"]]), ...(isUnanswered(state) ? [tooLate()] : []));
}

/**
 * I3: TERM while clients wait for the next one. No process is to accept them any more, so that one is taken down first; the serving
 * one answers them, and then hupwatch ends.
 */
export function giveBack(
  state: In<"holding"> | In<"booting"> | In<"rolling-back">,
  how: "leave" | "stop",
): Step {
  const { current } = state;
  const failed = state.phase === "rolling-back" ? state.failed : state.next;
  const leaving = { how, isGone: false };
  return goTo(
    { phase: "rolling-back", current, failed, again: false, isHeld: true, leaving, ...common(state) },
    ...unhold(state),
    say({ event: "stopping", gens: [failed] }),
    ...(how === "leave" && isUnanswered(state) ? [tooLate()] : []),
    retire(failed, "kill"),
  );
}

/** The one that was taken down is gone: the old one serves again, or gets those that wait before hupwatch ends. */
export function rolledBack(state: In<"rolling-back">): Step {
  const { current, failed, leaving } = state;
  if (!leaving) return serveOrSwap(state, current, ...letGo(state, failed));
  return goTo(
    { ...state, leaving: { ...leaving, isGone: true } },
    say({ event: "gone", gen: failed }),
    ...rescue(state, failed),
    { do: "give-back", old: failed, next: current },
  );
}

/** They have been answered, or a second TERM does not wait for that. */
export function endGivenBack(state: In<"rolling-back">, how: "leave" | "stop"): Step {
  const { current } = state;
  const base = withFailed(state);
  const ended =
    how === "stop"
      ? end(base, { kind: "stopped", serving: current }, [[current, "graceful"]])
      : leave(base, current);
  return withEffects(ended, unsettle, ...released(state));
}

/** The serving one has died, and hupwatch is leaving: none is left that could answer. */
export function givenBackToNone(state: In<"rolling-back">, { failure }: Of<"exited">): Step {
  return withEffects(endByCrash(withFailed(state), state.current, failure), unsettle, ...released(state));
}

/** It drains as the others, unless it is gone. */
const withFailed = (state: In<"rolling-back">): Common => {
  const { draining, ...rest } = common(state);
  return { ...rest, draining: state.leaving?.isGone ? draining : [...draining, state.failed] };
};

/** Its listeners, where it is gone and they were kept for what waits in them. */
export const released = ({ failed, leaving }: In<"rolling-back">): Effect[] =>
  leaving?.isGone ? [{ do: "release", gen: failed }] : [];

/** I4: a HUP that will not be carried out any more is at least refused with a message. */
export const tooLate = () => say({ event: "ignored", what: "swap", why: "hupwatch is leaving" });

export const isAbout = (gen: Gen, event: { gen: Gen }) => event.gen === gen;

export function ignoreForward(state: State, event: Of<"forward">): Step {
  return goTo(state, say({ event: "ignored", what: event.signal, why: "no generation serves" }));
}

/** The second request to stop: there is no more waiting. */
export function hurry(state: In<"stopping">): Step {
  return goTo(state, ...state.draining.map((g) => retire(g, "kill")));
}

/**
 * A fresh copy of a first generation that was not ready in its time, on its very listeners with the clients that wait in them.
 * It is killed first (I1), and one HUP leads to one fresh copy.
 */
export function startAfresh(state: In<"starting">): Step {
  const { next: old, owed, fallen } = state;
  const next = state.last + 1;
  return goTo(
    {
      ...common(state),
      ...(fallen ? { fallen } : {}),
      phase: "starting",
      next,
      again: false,
      overdue: false,
      owed,
      last: next,
      draining: [...state.draining, old],
    },
    say({ event: "given-up", gen: old }),
    retire(old, "kill"),
    { do: "boot", gen: next, public: true, succeeds: old },
  );
}

export function startFailed(
  state: In<"starting">,
  { failure, at }: Died,
  how: Retirement,
  limits: Limits,
): Step {
  if (state.fallen?.respawned) {
    const rest = how === "sweep" ? how : "kill";
    const another = respawn(state, { gen: state.next, how: rest, died: { failure, at } }, limits);
    if (another) return another;
  }
  const first = state.fallen?.failure ?? failure;
  const ended = end(state, { kind: "failed", failure: first }, [[state.next, how]]);
  return withEffects(ended, say({ event: "start-failed", gen: state.next, failure }));
}
