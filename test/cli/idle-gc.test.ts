/** Garbage is collected when nothing goes on, once, and then no timer is left. */
import { expect, test } from "bun:test";
import { idleGc } from "../../src/cli/idle-gc.ts";
import { TurnedClock } from "../fake-os/clock.ts";

test("once, when it has been quiet; never in the middle of a swap", async () => {
  const clock = new TurnedClock();
  let collected = 0;
  using gc = idleGc(clock, () => collected++);
  for (let n = 0; n < 3; n++) {
    gc.record();
    await clock.turn(4000);
  }
  expect(collected).toBe(0);
  await clock.turn(1000);
  expect(collected).toBe(1);
  await clock.turn(60_000);
  expect(collected).toBe(1);
});

test("not after the end", async () => {
  const clock = new TurnedClock();
  let collected = 0;
  {
    using gc = idleGc(clock, () => collected++);
    gc.record();
  }
  await clock.turn(60_000);
  expect(collected).toBe(0);
});
