/** I5: whatever becomes of a generation's connections, its stop signal follows. A bug in the looking for them once kept it for ever. */
import { expect, test } from "bun:test";
import type { Processes } from "../../src/generation/processes.ts";
import { Takedown } from "../../src/generation/takedown.ts";
import { TurnedClock } from "../fake-os/clock.ts";

function retired(keep: (then: () => void, goesOn: () => void) => void) {
  const clock = new TurnedClock();
  const signals: string[] = [];
  const processes = { isLeaderAlive: true, stop: (signal: string) => signals.push(signal) > 0 };
  new Takedown({
    clock,
    stopSequence: [{ signal: "SIGTERM", waitMs: 60_000 }],
    untilIdleMs: 0,
    processes: processes as unknown as Processes,
    connections: () => ({ look: () => ({ isIdle: true, nextMs: 0 }), [Symbol.dispose]: () => {} }),
    keep,
    leftBehind: () => {},
    gone: () => {},
  }).begin("drain");
  return { clock, signals };
}

test("at once where nothing is kept, and once", async () => {
  const { clock, signals } = retired((then) => {
    then();
    then();
  });
  expect(signals).toEqual(["SIGTERM"]);
  await clock.turn(30_000);
  expect(signals).toEqual(["SIGTERM"]);
});

test("after ten seconds where that is never said", async () => {
  const { clock, signals } = retired(() => {});
  await clock.turn(9_000);
  expect(signals).toEqual([]);
  await clock.turn(2_000);
  expect(signals).toEqual(["SIGTERM"]);
});

// Of 10,000 idle connections 3,834 were closed at load 50: the signal came after ten seconds, in the middle of the taking.
test("later, while the work goes on, and once", async () => {
  let goOn = () => {};
  let mayStop = () => {};
  const { clock, signals } = retired((then, goesOn) => {
    [mayStop, goOn] = [then, goesOn];
  });
  for (let i = 0; i < 5; i++) {
    await clock.turn(9_000);
    goOn();
  }
  expect(signals).toEqual([]);
  mayStop();
  goOn();
  expect(signals).toEqual(["SIGTERM"]);
  // It is the stop sequence's turn now.
  await clock.turn(30_000);
  expect(signals).toEqual(["SIGTERM"]);
});
