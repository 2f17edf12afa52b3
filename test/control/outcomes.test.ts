/** I4: whoever asks for a swap gets the outcome of one that began afterwards, whatever is under way. */
import { expect, test } from "bun:test";
import { type Outcome, Outcomes } from "../../src/control/outcomes.ts";
import type { Report } from "../../src/swap/machine.ts";

const failure = { reason: "exited with code 3" };
const none = () => undefined;

function asking(from: number) {
  const outcomes = new Outcomes();
  const answers: Outcome[] = [];
  const waiting = outcomes.wait(from, (outcome) => answers.push(outcome));
  const play = (...reports: Report[]) => {
    for (const report of reports) outcomes.report(report, none);
    return answers.map(({ outcome, generation }) => `${outcome} ${generation}`);
  };
  return { outcomes, answers, waiting, play };
}

const swapped = (gen: number): Report => ({ event: "swapped", gen, from: gen - 1 });
const rolledBack = (gen: number): Report => ({ event: "rolled-back", gen, to: 1, failure });

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

test("one that takes a dead one's place is as good: it started later", () => {
  expect(
    asking(3).play(
      { event: "crashed", gen: 1, failure },
      { event: "respawning", gen: 3, afterMs: 0 },
      { event: "serving", gen: 3 },
    ),
  ).toEqual(["swapped 3"]);
});

test("the old one's death during the boot does not answer; that the new one serves does", () => {
  const { play } = asking(2);
  expect(play({ event: "crashed", gen: 1, failure })).toEqual([]);
  expect(play({ event: "serving", gen: 2 })).toEqual(["swapped 2"]);
});

test("who asks too late, or whom the end overtakes, is told so", () => {
  expect(asking(2).play({ event: "ignored", what: "swap", why: "hupwatch is stopping" })).toEqual([
    "ended 2",
  ]);
  expect(asking(2).play({ event: "ignored", what: "SIGUSR1", why: "no generation serves" })).toEqual([]);
  const { outcomes, answers, play } = asking(2);
  play({ event: "start-failed", gen: 2, failure });
  outcomes.end();
  expect(answers).toMatchObject([{ outcome: "ended", failure: { reason: "exited with code 3" } }]);
});

test("who has gone away is not answered", () => {
  const { waiting, play } = asking(2);
  waiting[Symbol.dispose]();
  expect(play(swapped(2))).toEqual([]);
});
