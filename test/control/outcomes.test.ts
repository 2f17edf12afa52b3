/** I4: a client that asks for a swap gets the outcome of one that began afterwards, whatever is under way. */
import { expect, test } from "bun:test";
import { type Outcome, Outcomes } from "../../src/control/outcomes.ts";
import type { Doubt, ServiceEvent } from "../../src/events/service-event.ts";

const failure = { reason: "exited with code 3" };
const age = { ageMs: 5, readyMs: 3 };

function asking(from: number) {
  const outcomes = new Outcomes();
  const answers: Outcome[] = [];
  const waiting = outcomes.wait(from, (outcome) => answers.push(outcome));
  const play = (...events: ServiceEvent[]) => {
    for (const event of events) outcomes.consume(event);
    return answers.map(({ outcome, generation }) => `${outcome} ${generation}`);
  };
  return { outcomes, answers, waiting, play };
}

const swapped = (generation: number, doubt?: Doubt): ServiceEvent => ({
  event: "swap.done",
  doubt,
  generation,
  retired: generation - 1,
  ...age,
});
const rolledBack = (generation: number): ServiceEvent => ({
  event: "swap.rolled-back",
  generation,
  serving: 1,
  hadClients: false,
  failure,
  ...age,
});

test("the swap that was under way does not count, in success or failure", () => {
  expect(asking(3).play(swapped(2))).toEqual([]);
  expect(asking(3).play(rolledBack(2))).toEqual([]);
  expect(asking(3).play(swapped(2), swapped(3))).toEqual(["swapped 3"]);
  expect(asking(3).play(rolledBack(2), rolledBack(3))).toEqual(["rolled-back 3"]);
});

test("it is answered once", () => {
  const { play, outcomes, answers } = asking(2);
  play(swapped(2), swapped(3), rolledBack(4));
  outcomes.end();
  expect(answers).toHaveLength(1);
});

test("a generation that takes the place of a dead one answers the request, too: it started later", () => {
  expect(
    asking(3).play(
      { event: "generation.crashed", generation: 1, failure },
      { event: "generation.respawning", generation: 3, afterMs: 0 },
      { event: "generation.serves", generation: 3, ...age },
    ),
  ).toEqual(["swapped 3"]);
});

test("the old one's death during the boot does not answer; that the new one serves does", () => {
  const { play } = asking(2);
  expect(play({ event: "generation.crashed", generation: 1, failure })).toEqual([]);
  expect(play({ event: "generation.serves", generation: 2, ...age })).toEqual(["swapped 2"]);
});

test("a client that asks too late, or is overtaken by the end, is told so", () => {
  expect(asking(2).play({ event: "ignored", what: "swap", why: "hupwatch is stopping" })).toEqual([
    "ended 2",
  ]);
  expect(asking(2).play({ event: "ignored", what: "SIGUSR1", why: "no generation serves" })).toEqual([]);
  const { outcomes, answers, play } = asking(2);
  play({ event: "generation.start-failed", generation: 2, failure });
  outcomes.end();
  expect(answers).toMatchObject([{ outcome: "ended", failure: { reason: "exited with code 3" } }]);
});

test("a client that has gone away is not answered", () => {
  const { waiting, play } = asking(2);
  waiting[Symbol.dispose]();
  expect(play(swapped(2))).toEqual([]);
});

// https://github.com/circus-tent/circus/issues/821: a check that the old one can pass was taken as passed, exit 0.
test("a swap of which nothing shows that the new one accepts is no success", () => {
  const { play } = asking(2);
  expect(play(swapped(2, "shared"))).toEqual(["unproven 2"]);
});
