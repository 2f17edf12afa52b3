/**
 * The moves when the generation that has the clients is gone or is not ready: another one in its place, or the end. Pure.
 */
import { common, drain, end, goTo, retire, say, steer, withEffects } from "./moves.ts";
import type { Common, Died, Failure, Fall, Gen, In, Limits, Retirement, Step } from "./states.ts";

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
