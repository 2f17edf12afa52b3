/** What becomes of two generations that both live: confirmed, flipped back, kept. */
import { describe, expect, test } from "bun:test";
import type { Event, Limits } from "../../src/swap/machine.ts";
import {
  type Answer,
  afterIn,
  answersAt,
  CONFIRMING,
  confirm,
  exited,
  expired,
  failed,
  gone,
  KEEPING,
  leave,
  play,
  quit,
  ready,
  rollback,
  settled,
  stop,
  swap,
  usr1,
  WAY_TO,
} from "./play.ts";

const BOTH: Limits = { ...CONFIRMING, keepMs: 600_000 };
const FLIP = ["unsettle", "steer 1", "say rolled-back", "settle 2 -> 1"];
const RETIRED = ["unsettle", "say swapped", "retire 1 drain", "unwatch 2"];

test("with --confirm the settled one waits, and the old one is told nothing", () => {
  expect(afterIn(CONFIRMING, ...WAY_TO.warm)).toEqual(["unsettle", "say unconfirmed", "await 2 judged"]);
});

describe("I9: unconfirmed, clients go back to the old one unless it is said that the new one is good", () => {
  const rows: Answer[] = [
    ["confirmed", confirm(2), RETIRED, "serving"],
    ["silence", expired(2), FLIP, "flipping-back"],
    ["on request, or by the judge", rollback(2), FLIP, "flipping-back"],
    [
      "its death",
      exited(2),
      ["unsettle", "steer 1", "say rolled-back", "retire 2 sweep", "rescue 2"],
      "rolling-back",
    ],
    ["TERM without -k", leave, FLIP, "flipping-back"],
    [
      "TERM with -k",
      stop,
      ["unsettle", "steer 1", "say rolled-back", "say stopping", "retire 1 graceful", "retire 2 graceful"],
      "stopping",
    ],
    ["QUIT", quit, ["unsettle", "say stopping", "retire 1 kill", "retire 2 kill"], "stopping"],
    ["a HUP waits", swap, ["say swap-queued"], "warm"],
    ["signals are for both", usr1, ["forward SIGUSR1 to 1", "forward SIGUSR1 to 2"], "warm"],
    [
      "the old one died: none is left to go back to",
      exited(1),
      ["unsettle", "say died", "say swapped", "retire 1 sweep", "rescue 1", "unwatch 2"],
      "serving",
    ],
    ["words about another one", confirm(1), [], "warm"],
    ["words about another one", rollback(1), [], "warm"],
    ["words about another one", expired(1), [], "warm"],
  ];
  test.each(rows)("%s", answersAt(WAY_TO.warm, CONFIRMING));

  const before: Answer[] = [
    ["on request in the warm-up", rollback(2), FLIP, "flipping-back"],
    ["TERM without -k in the warm-up", leave, FLIP, "flipping-back"],
    ["confirmed in the warm-up: that is not waited for then", confirm(2), [], "warming"],
  ];
  test.each(before)("%s", answersAt(WAY_TO.warming, CONFIRMING));
  test("and what was confirmed in the warm-up serves when it has settled", () => {
    expect(afterIn(CONFIRMING, ...WAY_TO.warming, confirm(2), settled(2))).toEqual(RETIRED);
  });
  test("a HUP that waited is answered either way", () => {
    expect(afterIn(CONFIRMING, ...WAY_TO.warm, swap, confirm(2))).toContain("boot 3");
    expect(afterIn(CONFIRMING, ...WAY_TO.warm, swap, expired(2), settled(1))).toContain("boot 3");
  });
  test("TERM refuses it aloud", () => {
    expect(afterIn(CONFIRMING, ...WAY_TO.warm, swap, leave)).toEqual(["say ignored", ...FLIP]);
  });
});

describe("flipping back: a flip like any other, in the other direction", () => {
  const way = WAY_TO["flipping-back"];
  const rows: Answer[] = [
    [
      "what was on its way has arrived: the new one drains by its stop signal",
      settled(1),
      ["unsettle", "retire 2 drain", "unwatch 1"],
      "serving",
    ],
    ["the new one dies first", exited(2), ["unsettle", "retire 2 sweep", "rescue 2", "unwatch 1"], "serving"],
    [
      "the old one dies: I3, the new one serves after all",
      exited(1),
      ["unsettle", "say crashed", "steer 2", "retire 1 sweep", "say serving", "rescue 1", "unwatch 2"],
      "serving",
    ],
    [
      "clients could not be sent back: I3, the new one serves after all",
      failed(1),
      ["unsettle", "say unreachable", "steer 2", "retire 1 drain", "say serving", "unwatch 2"],
      "serving",
    ],
    ["a HUP waits", swap, ["say swap-queued"], "flipping-back"],
    ["TERM waits for the settling", leave, [], "flipping-back"],
    ["stop", stop, ["unsettle", "say stopping", "retire 2 graceful", "retire 1 graceful"], "stopping"],
    ["once is enough", rollback(2), [], "flipping-back"],
  ];
  test.each(rows)("%s", answersAt(way, CONFIRMING));
  test("TERM leaves the old one when the new one is gone", () => {
    const { state } = play([...WAY_TO.warm, leave, settled(1), exited(2), gone(2)], CONFIRMING);
    expect(state).toMatchObject({ phase: "over", ending: { kind: "left", serving: 1 } });
  });
  test("I2: the new one is told to stop only when the old one has settled", () => {
    const { all } = play([...WAY_TO.warm, rollback(2)], CONFIRMING);
    expect(all.filter((e) => e.do === "retire")).toEqual([]);
  });
});

describe("kept: the swap is done, and the old one can have the clients back", () => {
  test("when it has settled", () => {
    expect(afterIn(KEEPING, ...WAY_TO.warm)).toEqual(["unsettle", "say swapped", "unwatch 2", "await 2"]);
  });
  test("and, with --confirm, when it was confirmed", () => {
    const effects = ["unsettle", "say swapped", "unwatch 2", "await 2"];
    expect(afterIn(BOTH, ...WAY_TO.warm, confirm(2))).toEqual(effects);
  });
  const rows: Answer[] = [
    ["rolled back", rollback(2), FLIP, "flipping-back"],
    ["its time is over", expired(2), ["unsettle", "say unkept", "retire 1 drain", "unwatch 2"], "serving"],
    ["a new swap retires it first", swap, ["unsettle", "say unkept", "retire 1 drain", "boot 3"], "booting"],
    [
      "the serving one dies: the kept one has the clients in one step",
      exited(2),
      ["unsettle", "steer 1", "say rolled-back", "retire 2 sweep", "rescue 2"],
      "rolling-back",
    ],
    [
      "it dies by itself",
      exited(1),
      ["unsettle", "say died", "retire 1 sweep", "rescue 1", "unwatch 2"],
      "serving",
    ],
    ["leave", leave, ["unsettle", "say unkept", "retire 1 drain", "say stopping"], "stopping"],
    ["stop", stop, ["unsettle", "say stopping", "retire 1 graceful", "retire 2 graceful"], "stopping"],
    ["there is nothing to confirm", confirm(2), [], "warm"],
  ];
  test.each(rows)("%s", answersAt(WAY_TO.warm, KEEPING));
  test("none is kept where another swap waits already", () => {
    expect(afterIn(KEEPING, ...WAY_TO.warming, swap, settled(2))).toContain("boot 3");
  });
});

// "`rollback` in the warm-up of a new generation logs no 'had the clients' line that the others log."
test("a rollback says whether the new one had the clients", () => {
  const said = [
    play([...WAY_TO.booting, rollback(2)], CONFIRMING),
    play([...WAY_TO.warming, rollback(2)], CONFIRMING),
    play([...WAY_TO.warming, exited(2)], CONFIRMING),
    play([...WAY_TO.warm, expired(2)], CONFIRMING),
    play([...WAY_TO.warm, stop], CONFIRMING),
  ].map(({ effects }) =>
    effects.flatMap((e) =>
      e.do === "report" && e.report.event === "rolled-back" ? [e.report.hadClients] : [],
    ),
  );
  expect(said).toEqual([[false], [true], [true], [true], [true]]);
});

test("a rollback before the new one is ready gives it up", () => {
  expect(afterIn(KEEPING, ...WAY_TO.booting, rollback(2))).toEqual(["say rolled-back", "retire 2 abandon"]);
});

test("I4: after a flip back, however often, a swap is a swap", () => {
  const events: Event[] = [ready(1)];
  for (let gen = 2; gen < 6; gen++)
    events.push(swap, ready(gen), settled(gen), expired(gen), settled(1), exited(gen), gone(gen));
  const { state } = play([...events, swap, ready(6), settled(6), confirm(6)], CONFIRMING);
  expect(state).toMatchObject({ phase: "serving", current: 6 });
});
