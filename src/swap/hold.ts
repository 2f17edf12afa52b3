/**
 * The moves of a hold: new connections wait for a generation that is not started yet, and at TERM the serving one gets them. Pure.
 */
import { endByCrash } from "./death.ts";
import {
  common,
  end,
  goTo,
  isUnanswered,
  leave,
  letGo,
  rescue,
  retire,
  say,
  serve,
  serveOrSwap,
  steer,
  tooLate,
  unsettle,
  withEffects,
} from "./moves.ts";
import type { Common, Effect, Failure, Gen, In, Of, State, Step } from "./states.ts";

/** New connections wait for the generation that the next swap starts, whatever requests that swap. */
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

/** They have been answered, or a second TERM came, which does not wait for that. */
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
