/** The swap machine's table, cell by cell where a cell is worth a name. Its invariants: invariants.test.ts. */
import { describe, expect, test } from "bun:test";
import type { Event, Gen, Phase } from "../../src/swap/machine.ts";
import {
  after,
  DEATH,
  exited,
  failed,
  gone,
  leave,
  overdue,
  play,
  quit,
  ready,
  settled,
  shown,
  stop,
  swap,
  TIMEOUT,
  usr1,
  WAY_TO,
} from "./play.ts";

type Row = [what: string, in_: Phase, event: Event, effects: string[], phase: Phase];

const TABLE: Row[] = [
  [
    "the first is ready",
    "starting",
    ready(1),
    ["say ready", "steer 1", "say serving", "unwatch 1"],
    "serving",
  ],
  ["the first is not", "starting", failed(1), ["say start-failed", "retire 1 abandon"], "stopping"],
  ["the first dies", "starting", exited(1), ["say start-failed", "retire 1 sweep"], "stopping"],
  ["nothing to leave yet", "starting", leave, ["say stopping", "retire 1 abandon"], "stopping"],
  ["stop before it serves", "starting", stop, ["say stopping", "retire 1 abandon"], "stopping"],
  ["quit before it serves", "starting", quit, ["say stopping", "retire 1 kill"], "stopping"],
  ["nobody takes a signal yet", "starting", usr1, [], "starting"],
  ["a first start may take long", "starting", overdue(1), [], "starting"],

  ["HUP", "serving", swap, ["boot 2"], "booting"],
  ["the serving one crashes", "serving", exited(1), ["say crashed", "retire 1 sweep"], "stopping"],
  ["leave", "serving", leave, ["end left"], "over"],
  ["stop", "serving", stop, ["say stopping", "retire 1 graceful"], "stopping"],
  ["quit", "serving", quit, ["say stopping", "retire 1 kill"], "stopping"],
  ["a signal to pass on", "serving", usr1, ["forward SIGUSR1 to 1"], "serving"],

  ["the successor is ready", "booting", ready(2), ["say ready", "steer 2", "settle 1 -> 2"], "warming"],
  ["the successor is not", "booting", failed(2), ["say rolled-back", "retire 2 abandon"], "rolling-back"],
  ["the successor dies", "booting", exited(2), ["say rolled-back", "retire 2 sweep"], "rolling-back"],
  [
    "the serving one dies: its successor gets the clients",
    "booting",
    exited(1),
    ["say crashed", "steer 2", "retire 1 sweep", "rescue 1"],
    "starting",
  ],
  ["stop takes both", "booting", stop, ["say stopping", "retire 2 abandon", "retire 1 graceful"], "stopping"],
  ["quit takes both", "booting", quit, ["say stopping", "retire 2 kill", "retire 1 kill"], "stopping"],
  ["signals go to the old one", "booting", usr1, ["forward SIGUSR1 to 1"], "booting"],

  [
    "settled: cutover",
    "warming",
    settled(2),
    ["unsettle", "say swapped", "retire 1 drain", "unwatch 2"],
    "serving",
  ],
  [
    "the new one dies: flip back first",
    "warming",
    exited(2),
    ["unsettle", "steer 1", "say rolled-back", "retire 2 sweep", "rescue 2"],
    "rolling-back",
  ],
  [
    "its listener could not be put in place",
    "warming",
    failed(2),
    ["unsettle", "steer 1", "say rolled-back", "retire 2 abandon"],
    "rolling-back",
  ],
  [
    "the old one dies by itself",
    "warming",
    exited(1),
    ["unsettle", "say died", "say swapped", "retire 1 sweep", "rescue 1", "unwatch 2"],
    "serving",
  ],
  ["leave waits for the cutover", "warming", leave, [], "warming"],
  [
    "stop takes both",
    "warming",
    stop,
    ["unsettle", "say stopping", "retire 1 graceful", "retire 2 graceful"],
    "stopping",
  ],
  [
    "quit takes both",
    "warming",
    quit,
    ["unsettle", "say stopping", "retire 1 kill", "retire 2 kill"],
    "stopping",
  ],
  ["signals still go to the old one", "warming", usr1, ["forward SIGUSR1 to 1"], "warming"],

  [
    "the failed one is gone",
    "rolling-back",
    gone(2),
    ["say gone", "rescue 2", "release 2", "unwatch 1"],
    "serving",
  ],
  [
    "the old one dies too",
    "rolling-back",
    exited(1),
    ["say crashed", "retire 2 kill", "retire 1 sweep"],
    "stopping",
  ],
  ["stop", "rolling-back", stop, ["say stopping", "retire 2 kill", "retire 1 graceful"], "stopping"],
  ["signals go to the old one", "rolling-back", usr1, ["forward SIGUSR1 to 1"], "rolling-back"],

  ["gone: the end", "stopping", gone(1), ["say gone", "release 1", "end stopped"], "over"],
  ["too late for a swap", "stopping", swap, ["say ignored"], "stopping"],
  ["a second request hurries", "stopping", stop, ["retire 1 kill"], "stopping"],
  ["so does quit", "stopping", quit, ["retire 1 kill"], "stopping"],
  ["nobody takes a signal any more", "stopping", usr1, ["say ignored"], "stopping"],

  ["too late for a swap", "over", swap, ["say ignored"], "over"],
];

test.each(TABLE)("%s (%s)", (_, phase, event, effects, next) => {
  expect(after(...WAY_TO[phase], event)).toEqual(effects);
  expect(play([...WAY_TO[phase], event]).state.phase).toBe(next);
});

describe("a signal that comes in a swap is owed to the new generation", () => {
  test("until it has taken the old one's place", () => {
    const effects = ["unsettle", "say swapped", "forward SIGUSR1 to 2", "retire 1 drain", "unwatch 2"];
    expect(after(...WAY_TO.booting, usr1, ready(2), settled(2))).toEqual(effects);
    expect(after(...WAY_TO.warming, usr1, settled(2))).toEqual(effects);
  });
  test("until it serves, where it is the first", () => {
    expect(after(usr1, ready(1))).toEqual([
      "say ready",
      "steer 1",
      "say serving",
      "forward SIGUSR1 to 1",
      "unwatch 1",
    ]);
  });
  test("also when it takes the place of the one that died", () => {
    expect(after(...WAY_TO.booting, usr1, exited(1), ready(2))).toContain("forward SIGUSR1 to 2");
  });
  test("and to nobody else: one that fails takes it along", () => {
    const again = [...WAY_TO.booting, usr1, failed(2), gone(2), swap, ready(3)];
    expect(after(...again).filter((effect) => effect.startsWith("forward"))).toEqual([]);
  });
});

describe("words of the dead, of strangers and of those that come too late change nothing", () => {
  const stale: [Phase, Event[]][] = [
    ["starting", [ready(7), failed(7), exited(7), settled(1), gone(7)]],
    ["serving", [ready(1), failed(1), exited(7), settled(1), gone(1)]],
    ["booting", [ready(1), failed(1), exited(7), settled(2), gone(1)]],
    ["warming", [ready(2), failed(1), exited(7), settled(1), gone(2)]],
    ["rolling-back", [ready(2), failed(2), exited(2), settled(2), gone(1)]],
    ["stopping", [ready(1), failed(1), settled(2), gone(7)]],
    ["over", [ready(1), failed(1), exited(1), settled(2), gone(7), leave, stop, quit, usr1]],
  ];
  for (const [phase, events] of stale)
    test.each(events.map((event) => [event.kind, event]))(`${phase}: %s`, (_, event) => {
      const before = play(WAY_TO[phase]).state;
      expect(play([...WAY_TO[phase], event as Event])).toMatchObject({ state: before, effects: [] });
    });
});

describe("how it ends", () => {
  const ending = (...events: Event[]) => {
    const { state } = play(events);
    if (state.phase !== "over") throw new Error(`not over but ${state.phase}`);
    return state.ending;
  };
  const done: Event = exited(1, { reason: "exited with code 0", exit: { code: 0, signal: undefined } });

  test("stopped: with the exit of the one that served", () => {
    expect(ending(ready(1), stop, done, gone(1))).toEqual({
      kind: "stopped",
      serving: 1,
      exit: { code: 0, signal: undefined },
    });
  });
  test("stopped in the warm-up: with the exit of the new one, which served", () => {
    const end = ending(...WAY_TO.warming, stop, done, gone(1), exited(2), gone(2));
    expect(end).toEqual({ kind: "stopped", serving: 2, exit: { code: 3, signal: undefined } });
  });
  test("crashed: with the failure of the one that served", () => {
    expect(ending(ready(1), exited(1), gone(1))).toEqual({ kind: "failed", failure: DEATH });
  });
  test("both died in the boot: with the failure of the one that had served", () => {
    const end = ending(...WAY_TO.booting, exited(1), gone(1), failed(2, TIMEOUT), gone(2));
    expect(end).toEqual({ kind: "failed", failure: DEATH });
  });
  test("left in the boot: when the unfinished one is gone", () => {
    const { state, effects } = play([...WAY_TO.booting, leave]);
    expect(state.phase).toBe("stopping");
    expect(effects).toContainEqual({ do: "retire", gen: 2, how: "kill" });
    expect(ending(...WAY_TO.booting, leave, gone(2))).toEqual({ kind: "left", serving: 1 });
  });
  test("left in the boot, but the one that was to stay dies: a crash", () => {
    expect(ending(...WAY_TO.booting, leave, exited(1), gone(2), gone(1))).toMatchObject({ kind: "failed" });
  });
  test.each<[string, Event, Gen]>([
    ["left in the warm-up: after the cutover, when the old one is gone", settled(2), 2],
    ["twice: the cutover at once", leave, 2],
    ["the old one dies meanwhile: the new one stays", exited(1), 2],
  ])("%s", (_, event, serving) => {
    expect(play([...WAY_TO.warming, leave, event]).state.phase).toBe("stopping");
    expect(ending(...WAY_TO.warming, leave, event, gone(1))).toEqual({ kind: "left", serving });
  });
  test("left while an old one drains: when that one is gone", () => {
    const { state, effects } = play([...WAY_TO.warming, settled(2), leave]);
    expect(state.phase).toBe("stopping");
    expect(shown(effects)).toEqual(["say stopping"]);
    expect(ending(...WAY_TO.warming, settled(2), leave, gone(1))).toEqual({ kind: "left", serving: 2 });
  });
  test("left in the warm-up, and the new one dies: the old one stays and gets the clients back", () => {
    expect(after(...WAY_TO.warming, leave, exited(2)).slice(0, 2)).toEqual(["unsettle", "steer 1"]);
    expect(ending(...WAY_TO.warming, leave, exited(2), gone(2))).toEqual({ kind: "left", serving: 1 });
  });
  test("TERM, then QUIT: what was to be left running is stopped as well", () => {
    const played = play([...WAY_TO.booting, leave, quit]);
    expect(played.all).toContainEqual({ do: "retire", gen: 1, how: "kill" });
    expect(ending(...WAY_TO.booting, leave, quit, gone(2), gone(1))).toMatchObject({ kind: "stopped" });
  });
});

describe("a retired generation's clients", () => {
  const draining = [...WAY_TO.warming, settled(2)];
  test("are passed on when its leader has ended, and once more before its listeners go", () => {
    expect(after(...draining, exited(1))).toEqual(["rescue 1"]);
    expect(after(...draining, exited(1), gone(1))).toEqual(["say gone", "rescue 1", "release 1"]);
  });
  test("are passed on in every phase in which another one serves", () => {
    for (const events of [[swap], [swap, ready(3)], [swap, failed(3)], [stop], [leave]])
      expect(after(...draining, ...events, exited(1))).toEqual(["rescue 1"]);
  });
  test("are not passed on where none serves", () => {
    expect(after(...draining, exited(2), exited(1))).toEqual([]);
    expect(after(...draining, exited(2), gone(1))).toEqual(["say gone", "release 1"]);
  });
});

test("the oldest is hurried when too many drain", () => {
  const cutover = (to: Gen): Event[] => [swap, ready(to), settled(to)];
  const events = [ready(1), ...cutover(2), ...cutover(3), ...cutover(4)];
  expect(play(events, { maxDraining: 2 }).effects.filter((e) => e.do === "retire")).toEqual([
    { do: "retire", gen: 3, how: "drain" },
    { do: "retire", gen: 1, how: "kill" },
  ]);
});

describe("a first start that is not ready in the usual time", () => {
  const afresh = ["say given-up", "retire 1 kill", "boot 2 public"];

  test("answers a HUP by a fresh copy on its listeners, and one HUP by one", () => {
    const { state, effects } = play([overdue(1), swap]);
    expect(shown(effects)).toEqual(afresh);
    expect(effects).toContainEqual({ do: "boot", gen: 2, public: true, succeeds: 1 });
    expect(state).toMatchObject({ phase: "starting", next: 2, again: false, overdue: false });
  });

  test("so does a HUP that came before", () => {
    expect(shown(play([swap, overdue(1)]).effects)).toEqual(afresh);
  });

  test("and may still become ready by itself", () => {
    expect(play([overdue(1), ready(1)]).state.phase).toBe("serving");
  });
});
