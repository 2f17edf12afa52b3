/** New connections wait for the next generation: what starts it, and what becomes of them where it does not come. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/swap/machine.ts";
import {
  type Answer,
  after,
  afterIn,
  answersAt,
  exited,
  failed,
  gone,
  hold,
  KEEPING,
  leave,
  play,
  quit,
  ready,
  resume,
  settled,
  stop,
  swap,
  usr1,
  WAY_TO,
} from "./play.ts";

const BOOT = ["unsettle", "say hold-ended", "boot 2"];

test("the next one's listeners get the clients, and the old one is told nothing", () => {
  expect(after(ready(1), hold)).toEqual(["hold for 2", "say holding"]);
});

const HOLDING: Answer[] = [
  ["reload", swap, BOOT, "booting"],
  ["resume, and the deadline", resume, BOOT, "booting"],
  ["for longer", hold, ["unsettle", "hold for 2", "say holding"], "holding"],
  ["signals go to the old one", usr1, ["forward SIGUSR1 to 1"], "holding"],
  [
    "it cannot be done: the old one has the clients",
    failed(2),
    ["unsettle", "steer 1", "say hold-failed", "retire 2 kill", "unwatch 1"],
    "serving",
  ],
  [
    "the old one dies: the next one is started for those that wait",
    exited(1),
    ["unsettle", "say hold-ended", "boot 2", "say crashed", "steer 2", "retire 1 sweep", "rescue 1"],
    "starting",
  ],
  ["TERM without -k", leave, ["unsettle", "steer 1", "say stopping", "retire 2 kill"], "rolling-back"],
  ["stop", stop, ["unsettle", "steer 1", "say stopping", "retire 2 kill"], "rolling-back"],
  ["quit", quit, ["unsettle", "steer 1", "say stopping", "retire 2 kill", "retire 1 kill"], "stopping"],
];
test.each(HOLDING)("%s", answersAt(WAY_TO.holding));

test("I3: where the next one fails the old one has the clients, and gets those that wait", () => {
  const way = [...WAY_TO.holding, swap];
  expect(after(...way, exited(2))).toEqual(["steer 1", "say rolled-back", "retire 2 sweep", "rescue 2"]);
  expect(after(...way, failed(2))).toEqual(["steer 1", "say rolled-back", "retire 2 abandon"]);
  expect(after(...way, failed(2), gone(2))).toEqual(["say gone", "rescue 2", "release 2", "unwatch 1"]);
});

/** TERM during a hold lost the clients that waited: nothing passed them on before hupwatch's end. */
describe("I3: TERM gives back those that wait, and only then hupwatch ends", () => {
  const STOP = ["unsettle", "release 2", "say stopping", "retire 1 graceful"];
  const LEAVE = ["unsettle", "release 2", "end left"];
  const WAYS: [string, Event[]][] = [
    ["while they are held", WAY_TO.holding],
    ["while the one that gets them boots", [...WAY_TO.holding, swap]],
    ["while that one, which has failed, is taken down", [...WAY_TO.holding, swap, failed(2)]],
  ];
  test.each(WAYS)("%s", (_, way) => {
    for (const [order, last, phase] of [
      [leave, LEAVE, "over"],
      [stop, STOP, "stopping"],
    ] as const) {
      expect(after(...way, order, gone(2))).toEqual(["say gone", "rescue 2", "give back 2 -> 1"]);
      expect(after(...way, order, gone(2), settled(1))).toEqual(last);
      expect(play([...way, order, gone(2), settled(1)]).state.phase).toBe(phase);
      // A second one does not wait.
      expect(after(...way, order, gone(2), order)).toEqual(last);
      expect(play([...way, order, order]).state).toMatchObject({ phase: "stopping" });
    }
  });

  test("the old one dies meanwhile: none is left", () => {
    const way = [...WAY_TO.holding, leave, gone(2)];
    expect(after(...way, exited(1))).toEqual(["unsettle", "release 2", "say crashed", "retire 1 sweep"]);
    expect(after(...way, swap)).toEqual(["say ignored"]);
    expect(after(...way, quit)).toEqual(["unsettle", "release 2", "say stopping", "retire 1 kill"]);
  });
});

test("it goes on as any swap", () => {
  const { state } = play([...WAY_TO.holding, resume, ready(2), settled(2)]);
  expect(state).toMatchObject({ phase: "serving", current: 2, draining: [1], last: 2 });
});

// "`hold` silently retires a generation that `--keep` had kept."
test("one that is kept retires first, which is said", () => {
  const effects = ["unsettle", "say unkept", "retire 1 drain", "unwatch 2", "hold for 3", "say holding"];
  expect(afterIn(KEEPING, ...WAY_TO.warm, hold)).toEqual(effects);
});

test("during a swap nothing is held", () => {
  for (const phase of [
    "starting",
    "booting",
    "warming",
    "rolling-back",
    "flipping-back",
    "stopping",
    "over",
  ] as const)
    expect(after(...WAY_TO[phase], hold)).toEqual([]);
  expect(after(...WAY_TO.serving, resume)).toEqual([]);
});
