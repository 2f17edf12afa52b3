/** The check of a command whose addresses are learned, where it listens nowhere: how long it has to rest. */
import { expect, test } from "bun:test";
import { type Listening, listeningCheck } from "../../src/ready/listening.ts";
import { TurnedClock } from "../fake-os/clock.ts";
import { ask } from "./stage.ts";

const nowhere = (more: Partial<Listening>): Listening => ({
  listeners: () => [],
  missing: () => [],
  nowhere: "at rest",
  restMs: 1000,
  work: () => ({ ticks: 0, isBusy: false }),
  ...more,
});

/** When it passed, of so many milliseconds. */
async function passedAt(listening: Listening, ms: number): Promise<number | undefined> {
  const clock = new TurnedClock();
  using asking = ask(listeningCheck(listening, []), [], { clock });
  while (clock.now() < ms && asking.passed === 0) await clock.turn(100);
  return asking.passed === 1 ? clock.now() : undefined;
}

test.each([1000, 5000])("it passes after %i ms without work, and not before", async (restMs) => {
  expect(await passedAt(nowhere({ restMs }), restMs - 200)).toBeUndefined();
  expect(await passedAt(nowhere({ restMs }), restMs + 500)).toBeGreaterThanOrEqual(restMs);
});

test("work begins its rest anew, and what never rests passes all the same", async () => {
  let ticks = 0;
  const works = nowhere({
    restMs: 5000,
    work: () => ({ ticks: ticks++ < 40 ? 10 * ticks : 400, isBusy: false }),
  });
  expect(await passedAt(works, 20_000)).toBeGreaterThan(8000);
  expect(
    await passedAt(nowhere({ work: () => ({ ticks: 0, isBusy: true }) }), 40_000),
  ).toBeGreaterThanOrEqual(30_000);
});

test("where the serving one has begun to listen meanwhile, rest is not enough", async () => {
  let isServing = false;
  const listening = nowhere({
    restMs: 5000,
    missing: () => (isServing ? [{ address: "127.0.0.1:80", isRequired: true }] : []),
    work: () => {
      isServing = true;
      return { ticks: 0, isBusy: false };
    },
  });
  expect(await passedAt(listening, 40_000)).toBeUndefined();
});
