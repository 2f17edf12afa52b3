/** Feeds the swap machine events from its first step on, and keeps what it wanted done. */
import { expect } from "bun:test";
import {
  assertState,
  begin,
  type Effect,
  type Event,
  type Failure,
  type Gen,
  type Limits,
  type Phase,
  type State,
  step,
} from "../../src/swap/machine.ts";

export const swap: Event = { kind: "swap" };
export const leave: Event = { kind: "leave" };
export const stop: Event = { kind: "stop" };
export const quit: Event = { kind: "quit" };
export const usr1: Event = { kind: "forward", signal: "SIGUSR1" };
export const confirm = (gen: Gen): Event => ({ kind: "confirm", gen });
export const rollback = (gen: Gen): Event => ({ kind: "rollback", gen, failure: ON_REQUEST });
export const expired = (gen: Gen): Event => ({ kind: "expired", gen, failure: SILENCE });
export const hold: Event = { kind: "hold", ms: 60_000 };
export const resume: Event = { kind: "resume", why: "request" };
export const ready = (gen: Gen): Event => ({ kind: "ready", gen });
export const overdue = (gen: Gen): Event => ({ kind: "overdue", gen });
export const settled = (gen: Gen): Event => ({ kind: "settled", gen });
export const gone = (gen: Gen): Event => ({ kind: "gone", gen });
export const ON_REQUEST: Failure = { reason: "was given up on request" };
const SILENCE: Failure = { reason: "was not confirmed" };
export const TIMEOUT: Failure = { reason: "not ready within 60 s" };
export const DEATH: Failure = { reason: "exited with code 3", exit: { code: 3, signal: undefined } };
export const failed = (gen: Gen, failure = TIMEOUT, at = 0): Event => ({ kind: "failed", gen, failure, at });
export const exited = (gen: Gen, failure = DEATH, at = 0): Event => ({ kind: "exited", gen, failure, at });

/** The shortest way into each phase: generation 1 serves, 2 is the successor. */
export const WAY_TO: Record<Phase, Event[]> = {
  starting: [],
  serving: [ready(1)],
  holding: [ready(1), hold],
  booting: [ready(1), swap],
  warming: [ready(1), swap, ready(2)],
  warm: [ready(1), swap, ready(2), settled(2)],
  "rolling-back": [ready(1), swap, failed(2)],
  "flipping-back": [ready(1), swap, ready(2), rollback(2)],
  stopping: [ready(1), stop],
  over: [ready(1), leave],
};
/** Of the phase that only a user's wish leads to. */
export const CONFIRMING: Limits = { maxDraining: 4, confirmMs: 30_000 };
export const KEEPING: Limits = { maxDraining: 4, keepMs: 600_000 };
export const PHASES = Object.keys(WAY_TO) as Phase[];

export interface Played {
  state: State;
  /** What the last event led to. */
  effects: Effect[];
  /** What all of them led to, the first boot included. */
  all: Effect[];
}

export function play(events: readonly Event[], limits: Limits = { maxDraining: 4 }): Played {
  let { state, effects } = begin();
  const all = [...effects];
  for (const event of events) {
    ({ state, effects } = step(state, event, limits));
    assertState(state);
    all.push(...effects);
  }
  return { state, effects, all };
}

/** `retire 1 drain`, `steer 2`, `boot 3 public`, `say swapped`: short enough to compare whole lists. */
export function wording(effect: Effect): string {
  switch (effect.do) {
    case "boot":
      return `boot ${effect.gen}${effect.public ? " public" : ""}`;
    case "hold":
      return `hold for ${effect.gen}`;
    case "steer":
      return `steer ${effect.to}`;
    case "settle":
      return `settle ${effect.old} -> ${effect.next}`;
    case "give-back":
      return `give back ${effect.old} -> ${effect.next}`;
    case "await":
      return `await ${effect.gen}${effect.isJudged ? " judged" : ""}`;
    case "unsettle":
      return "unsettle";
    case "unwatch":
    case "rescue":
    case "release":
      return `${effect.do} ${effect.gen}`;
    case "retire":
      return `retire ${effect.gen} ${effect.how}`;
    case "forward":
      return `forward ${effect.signal} to ${effect.gen}`;
    case "report":
      return `say ${effect.report.event}`;
    case "look":
      return `look at ${effect.at}`;
    case "end":
      return `end ${effect.ending.kind}`;
  }
}

/** The effects of the last event. */
export const after = (...events: Event[]): string[] => afterIn({ maxDraining: 4 }, ...events);
export const afterIn = (limits: Limits, ...events: Event[]): string[] => shown(play(events, limits).effects);

/** What one event leads to. */
export type Answer = [what: string, event: Event, effects: string[], phase: Phase];

/** For `test.each` of answers to an event at the end of `way`. */
export const answersAt =
  (way: readonly Event[], limits: Limits = { maxDraining: 4 }) =>
  (...[, event, effects, phase]: Answer): void => {
    const { effects: all, state } = play([...way, event], limits);
    expect(shown(all)).toEqual(effects);
    expect(state.phase).toBe(phase);
  };

/** All but the looks, which decide nothing (looks.test.ts). */
export const shown = (effects: readonly Effect[]): string[] =>
  effects.filter((effect) => effect.do !== "look").map(wording);
