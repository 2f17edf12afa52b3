/** The invariants of the design, as far as the pure table can keep or break them, each by its number. */
import { describe, expect, test } from "bun:test";
import { assertState, type Effect, type Event, type State } from "../../src/swap/machine.ts";
import {
  after,
  CONFIRMING,
  exited,
  failed,
  gone,
  KEEPING,
  leave,
  PHASES,
  play,
  quit,
  ready,
  settled,
  stop,
  swap,
  WAY_TO,
} from "./play.ts";

const boots = (effects: readonly Effect[]) => effects.flatMap((e) => (e.do === "boot" ? [e.gen] : []));
const reports = (effects: readonly Effect[], event: string) =>
  effects.filter((e) => e.do === "report" && e.report.event === event).length;

describe("I1: at most one generation is not ready", () => {
  test.each(["starting", "booting", "rolling-back"] as const)("a HUP starts nobody in phase %s", (phase) => {
    expect(boots(play([...WAY_TO[phase], swap, swap]).effects)).toEqual([]);
  });

  test("a HUP in the warm-up starts nobody before the cutover", () => {
    expect(after(...WAY_TO.warming, swap)).toEqual(["say swap-queued"]);
    expect(boots(play([...WAY_TO.warming, swap, settled(2)]).effects)).toEqual([3]);
  });

  test("the next one starts when the failed one's whole tree is gone, not when its leader is", () => {
    const rollingBack = [...WAY_TO["rolling-back"], swap];
    expect(boots(play([...rollingBack, exited(2)]).effects)).toEqual([]);
    expect(boots(play([...rollingBack, exited(2), gone(2)]).effects)).toEqual([3]);
  });
});

describe("I2: a serving generation is told to stop only after its successor has settled", () => {
  test("neither readiness nor the flip retires a generation", () => {
    expect(play(WAY_TO.warming).all.filter((e) => e.do === "retire")).toEqual([]);
  });
  test("settling does, and then it is asked and not killed", () => {
    expect(after(...WAY_TO.warming, settled(2))).toContain("retire 1 drain");
  });
  test("the flip stands before the stop", () => {
    const order = play([...WAY_TO.warming, settled(2)]).all.map((e) => e.do);
    expect(order.indexOf("steer")).toBeLessThan(order.indexOf("retire"));
  });
  test("another generation's settling does not count", () => {
    expect(after(...WAY_TO.warming, settled(1), settled(3))).toEqual([]);
  });
});

describe("I4: no HUP is lost", () => {
  test.each(["starting", "booting", "warming", "rolling-back"] as const)(
    "three HUPs in phase %s fold into exactly one more swap",
    (phase) => {
      const first = play(WAY_TO[phase]).state.last;
      const finish: Record<typeof phase, Event[]> = {
        starting: [ready(1)],
        booting: [ready(2), settled(2)],
        warming: [settled(2)],
        "rolling-back": [gone(2)],
      };
      const { state, all } = play([...WAY_TO[phase], swap, swap, swap, ...finish[phase]]);
      expect(state).toMatchObject({ phase: "booting", next: first + 1, again: false });
      expect(Math.max(...boots(all))).toBe(first + 1);
    },
  );

  test("the one that waits follows whatever became of the first", () => {
    const { state } = play([...WAY_TO.booting, swap, failed(2), gone(2)]);
    expect(state).toMatchObject({ phase: "booting", next: 3 });
  });

  test("the one that waits outlives the death of the serving generation", () => {
    const { state } = play([...WAY_TO.booting, swap, exited(1), ready(2)]);
    expect(state).toMatchObject({ phase: "booting", current: 2, next: 3 });
  });

  test.each([
    ["the swap under way", [...WAY_TO.booting, leave]],
    ["a waiting one in the boot", [...WAY_TO.booting, swap, leave]],
    ["a waiting one in the warm-up", [...WAY_TO.warming, swap, leave, settled(2)]],
    ["one that comes after", [...WAY_TO.warming, leave, swap, settled(2)]],
    ["a waiting one, where the new one dies", [...WAY_TO.warming, swap, leave, exited(2)]],
    ["a waiting one while rolling back", [...WAY_TO["rolling-back"], swap, leave]],
  ])("leaving drops no HUP in silence: %s", (_, events) => {
    expect(reports(play(events).all, "ignored")).toBe(1);
  });

  test.each(["stopping", "over"] as const)("in phase %s a HUP is refused aloud", (phase) => {
    expect(after(...WAY_TO[phase], swap)).toEqual(["say ignored"]);
  });
});

describe("I8: a failed swap leaves the old generation untouched", () => {
  test.each<[string, Event[]]>([
    ["not ready in time", [...WAY_TO.booting, failed(2)]],
    ["dies in the boot", [...WAY_TO.booting, exited(2)]],
    ["dies in the warm-up", [...WAY_TO.warming, exited(2)]],
    ["its listener cannot be put in place", [...WAY_TO.warming, failed(2)]],
  ])("%s", (_, events) => {
    const { all, state } = play([...events, gone(2)]);
    const onTheOld = all.filter((e) => (e.do === "retire" || e.do === "forward") && e.gen === 1);
    expect(onTheOld).toEqual([]);
    expect(reports(all, "rolled-back")).toBe(1);
    expect(state).toMatchObject({ phase: "serving", current: 1 });
  });

  test("clients go back before anything is done to the failed one", () => {
    const order = after(...WAY_TO.warming, exited(2));
    expect(order.slice(0, 2)).toEqual(["unsettle", "steer 1"]);
  });
});

test("the end comes once, in every phase and for every order", () => {
  for (const phase of PHASES)
    for (const order of [leave, stop, quit]) {
      const events = [...WAY_TO[phase], order, order, settled(2), gone(2), gone(1), order, gone(1)];
      for (const limits of [{ maxDraining: 4 }, CONFIRMING, KEEPING])
        expect(play(events, limits).all.filter((e) => e.do === "end")).toHaveLength(1);
    }
});

describe("assertState knows the impossible", () => {
  const common = { last: 2, draining: [], crashes: [] };
  const serving = { ...common, phase: "serving", current: 2 } as const;
  const booting = { ...common, phase: "booting", current: 2, again: false, owed: [], isHeld: false } as const;
  test.each<[string, State]>([
    ["a generation drains twice", { ...serving, draining: [1, 1] }],
    ["a generation in use is also draining", { ...serving, draining: [2] }],
    ["a generation beyond the last number", { ...serving, draining: [3] }],
    ["one generation in two roles", { ...booting, next: 2 }],
    ["I4: the successor is not newer", { ...booting, next: 1 }],
  ])("%s", (what, state) => {
    expect(() => assertState(state)).toThrow(what);
  });
});

test("I3: a flip back that fails is told: the old one serves, but clients do not reach it", () => {
  expect(after(...WAY_TO["rolling-back"], failed(1))).toEqual(["say unreachable"]);
});
