/**
 * The moves of the machine: what its cells are made of, each a whole step or a part of one. As pure as the table itself
 * (phases/), which alone says when they are made. Here are those that all have in common; those of a hold are in hold.ts, of two
 * generations that live in flip.ts, of one that died with none beside it in death.ts.
 */
import type {
  Common,
  Effect,
  Ending,
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
export function rescue(state: State, gen: Gen): Effect[] {
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

export const letGo = (state: State, gen: Gen): Effect[] => [
  say({ event: "gone", gen }),
  ...rescue(state, gen),
  { do: "release", gen },
];

/** Puts a generation among the draining ones, hurrying the oldest where there are too many. */
export function drain(
  base: Common,
  gen: Gen,
  how: Retirement,
  limits: Limits,
): { base: Common; effects: Effect[] } {
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

function finishIfEmpty(state: State): Step {
  if (state.phase !== "stopping" || state.draining.length > 0) return goTo(state);
  return goTo({ ...state, phase: "over" }, { do: "end", ending: state.ending });
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

export const isUnanswered = (state: State): boolean =>
  state.phase === "booting" || (state.phase === "rolling-back" && state.again);

/** TERM without -k while one generation serves: the unfinished one is taken down first, the serving one stays. */
export function leaveKeeping(state: In<"booting"> | In<"rolling-back">, unfinished: Gen): Step {
  const ending: Ending = { kind: "left", serving: state.current };
  return withEffects(end(state, ending, [[unfinished, "kill"]]), ...(isUnanswered(state) ? [tooLate()] : []));
}

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
