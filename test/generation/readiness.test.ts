/** The deadline of a young generation, and how far it may move it. On a turned clock. */
import { expect, test } from "bun:test";
import { Readiness, type ReadinessContext } from "../../src/generation/readiness.ts";
import { SystemError } from "../../src/os/libc.ts";
import type { Check } from "../../src/ready/check.ts";
import { parseCheck } from "../../src/ready/parse.ts";
import { TurnedClock } from "../fake-os/clock.ts";

const TIMEOUT_MS = 6000;
const HOUR_MS = 3_600_000;

function asking({ goesOn } = { goesOn: false }) {
  const clock = new TurnedClock();
  let hear: Parameters<ReadinessContext["onNotify"]>[0] = () => {};
  const context: ReadinessContext = {
    clock,
    listeners: [],
    answered: () => {},
    onLine: () => ({ [Symbol.dispose]() {} }),
    onNotify(subscriber) {
      hear = subscriber;
      return { [Symbol.dispose]() {} };
    },
    run: () => {
      throw new Error("nothing is to be run");
    },
  };
  const outcomes: unknown[] = [];
  const told: string[] = [];
  const readiness = new Readiness(
    [parseCheck("notify")],
    context,
    { timeoutMs: TIMEOUT_MS, goesOn },
    {
      ready: () => outcomes.push("ready"),
      failed: (failure) => outcomes.push(failure),
      overdue: () => outcomes.push("overdue"),
      waiting: (obstacle) => told.push(obstacle),
    },
  );
  readiness.probe();
  return { clock, context, outcomes, told, say: (usec: string) => hear({ EXTEND_TIMEOUT_USEC: usec }) };
}

const LATE = [{ reason: expect.stringContaining("not ready within") }];

test("more time is given as asked for, and never less", async () => {
  const { clock, outcomes, say } = asking();
  say("60000000");
  for (const nonsense of ["1", "-5", "soon", "", "NaN"]) say(nonsense);
  await clock.turn(59_999);
  expect(outcomes).toEqual([]);
  await clock.turn(1);
  expect(outcomes).toEqual(LATE);
});

// F7: "there is no upper bound: I5 'nothing waits for ever' can be stretched to 24 days by the child".
test.each(["9999999999999", "1e400", "Infinity"])(
  "I5: a generation that asks for %s microseconds has an hour beyond its timeout, and no more",
  async (usec) => {
    const { clock, outcomes, say } = asking();
    say(usec);
    await clock.turn(HOUR_MS);
    say(usec);
    await clock.turn(TIMEOUT_MS - 1);
    expect(outcomes).toEqual([]);
    await clock.turn(1);
    expect(outcomes).toEqual(LATE);
  },
);

// https://github.com/benoitc/gunicorn/issues/2503: "silence for 60 s", and no line names --ready-timeout.
test("what stands in the way is told after ten seconds, ever more seldom, and at the end with the way out", async () => {
  const { clock, outcomes, told, say } = asking();
  say("120000000");
  await clock.turn(119_999);
  expect(told).toEqual(Array(4).fill("notify: it has not sent READY=1"));
  await clock.turn(1);
  expect(outcomes).toEqual([
    { reason: "not ready within 6.00 s (notify: it has not sent READY=1); to fix: a longer --ready-timeout" },
  ]);
});

test("a first start without a deadline goes on, and says so once", async () => {
  const { clock, outcomes } = asking({ goesOn: true });
  await clock.turn(HOUR_MS);
  expect(outcomes).toEqual(["overdue"]);
});

// A sweep of failing calls: setsockopt(2) failed once as a probe gave back its way, and the generation was never ready.
test("a check that has passed counts, also where its end fails", async () => {
  const outcomes: string[] = [];
  const clock = new TurnedClock();
  const check: Check = {
    label: "x",
    needs: [],
    start: (_, passed) => {
      const timer = clock.after(1, passed);
      return {
        [Symbol.dispose]() {
          timer[Symbol.dispose]();
          throw new SystemError("setsockopt", "ENOSPC");
        },
      };
    },
  };
  const context = { ...asking().context, clock };
  const verdicts = { failed: () => outcomes.push("failed"), overdue() {}, waiting() {} };
  const patience = { timeoutMs: TIMEOUT_MS, goesOn: false };
  const readiness = new Readiness([check], context, patience, {
    ...verdicts,
    ready: () => outcomes.push("ready"),
  });
  readiness.probe();
  await clock.turn(10);
  expect(outcomes).toEqual(["ready"]);
});
