/**
 * The moves while two generations live, from the flip until it is known which of them remains: it is taken back, confirmed, or the old
 * one goes. Pure.
 */
import { unhold } from "./hold.ts";
import {
  common,
  drain,
  end,
  forward,
  goTo,
  leave,
  rescue,
  retire,
  say,
  serveOrSwap,
  steer,
  tooLate,
  unsettle,
  withEffects,
} from "./moves.ts";
import type { Effect, Failure, Gen, In, Limits, Report, Retirement, State, Step } from "./states.ts";

/** The new generation has failed: the old one goes on, and the failed one is taken down before anything else starts. */
export function rollBack(
  state: In<"booting"> | In<"warming"> | In<"warm">,
  how: "sweep" | "abandon",
  failure: Failure,
): Step {
  const { current, next, again } = state;
  const hadClients = state.phase !== "booting";
  const told = say({ event: "rolled-back", gen: next, to: current, failure, hadClients });
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
export function flipBack(
  state: In<"warming"> | In<"warm">,
  failure: Failure,
  { leaving = isLeaving(state) } = {},
): Step {
  const { current, next, again } = state;
  return goTo(
    { phase: "flipping-back", current, failed: next, again, leaving, ...common(state) },
    unsettle,
    steer(current),
    say({ event: "rolled-back", gen: next, to: current, failure, hadClients: true }),
    { do: "settle", old: next, next: current, warmUp: false },
  );
}

/** The old one serves again, and the one that was flipped back from drains, or is swept where it has died. */
export function flippedBack(state: In<"flipping-back">, limits: Limits, { died = false } = {}): Step {
  const { current, failed, again } = state;
  const { base, effects } = drain(state, failed, died ? "sweep" : "drain", limits);
  const done = [unsettle, ...effects, ...(died ? rescue(state, failed) : [])];
  if (state.leaving) return withEffects(leave(base, current), ...done);
  return serveOrSwap({ ...base, again }, current, ...done);
}

/** I3: the flip back has failed. The other one still lives and serves, which is better than none. */
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

/** The new one is confirmed. The old one is kept for a while with --keep, and nothing else is due. */
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
  const done = [
    unsettle,
    ...(died ? [say({ event: "died", gen: current, failure: died })] : []),
    ...cutOverTold(state, died),
    ...owedBy(state),
    ...effects,
    ...(died ? rescue(state, current) : []),
  ];
  if (leaving) return withEffects(leave(base, next), ...done);
  return serveOrSwap({ ...base, again: state.again }, next, ...done);
}

/** Of one that was kept the swap is told already; that it is not kept any more is not, unless it has died. */
function cutOverTold(state: In<"warming"> | In<"warm">, died: Failure | undefined): Effect[] {
  const { current, next } = state;
  const isKept = state.phase === "warm" && state.isConfirmed;
  if (!isKept) return [say({ event: "swapped", gen: next, from: current })];
  return died ? [] : [say({ event: "unkept", gen: current })];
}

const UNCONFIRMED: Failure = { reason: "was not confirmed before hupwatch was told to end" };

/** I9: TERM without -k gives the clients back first. */
export const leaveUnconfirmed = (state: In<"warming"> | In<"warm">): Step =>
  withEffects(
    flipBack({ ...state, again: false }, UNCONFIRMED, { leaving: true }),
    ...(state.again ? [tooLate()] : []),
  );

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
    say({ event: "rolled-back", gen: next, to: current, failure: UNCONFIRMED, hadClients: true }),
  ];
  return withEffects(end(state, { kind: "stopped", serving: current }, both), ...back);
}
