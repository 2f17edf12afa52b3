/** The real clock, and polling on a turned one. */
import { describe, expect, test } from "bun:test";
import { poll, pollPatiently, realClock } from "../../src/os/clock.ts";
import { TurnedClock } from "../fake-os/clock.ts";

test("the real clock goes on, calls once, and calls nothing that was disposed of", async () => {
  const before = realClock.now();
  const { promise, resolve } = Promise.withResolvers<void>();
  let disposed = 0;
  realClock.after(1, () => void disposed++)[Symbol.dispose]();
  realClock.after(5, resolve);
  await promise;
  expect(realClock.now() - before).toBeGreaterThanOrEqual(4);
  expect(disposed).toBe(0);
});

/** F7: EXTEND_TIMEOUT_USEC=9999999999999 ended the wait within a second: setTimeout(2) calls at once beyond 2^31 ms. */
test.each([2 ** 31, 1e13, Number.POSITIVE_INFINITY])("a delay of %d ms is a long one", async (ms) => {
  let called = false;
  using _timer = realClock.after(ms, () => {
    called = true;
  });
  await Bun.sleep(20);
  expect(called).toBe(false);
});

describe("polling", () => {
  test("asks soon but never from within the call, then every so many milliseconds, until it is enough", async () => {
    const clock = new TurnedClock();
    const asked: number[] = [];
    poll(clock, 10, () => (asked.push(clock.now()) === 4 ? "enough" : "more"));
    expect(asked).toEqual([]);
    await clock.turn(100);
    expect(asked).toEqual([0, 10, 20, 30]);
    expect(clock.idle).toBe(true);
  });

  test("disposed of, it asks no more, also from within its own question", async () => {
    const clock = new TurnedClock();
    let asked = 0;
    const polling = poll(clock, 10, () => {
      asked++;
      if (asked === 2) polling[Symbol.dispose]();
      return "more";
    });
    await clock.turn(100);
    expect(asked).toBe(2);
    expect(clock.idle).toBe(true);
  });
});

test("a patient one looks less often the longer nothing comes, and at once again after news", async () => {
  const clock = new TurnedClock();
  const looks: number[] = [];
  let answer: "more" | "news" = "more";
  using _polling = pollPatiently(clock, 5, () => {
    looks.push(clock.now());
    return answer;
  });
  const looksIn = async (ms: number) => {
    const before = looks.length;
    await clock.turn(ms);
    return looks.length - before;
  };
  expect(await looksIn(500)).toBe(101);
  await clock.turn(3_600_000);
  expect(await looksIn(10_000)).toBe(40);
  answer = "news";
  await clock.turn(250);
  answer = "more";
  expect(await looksIn(500)).toBeGreaterThanOrEqual(99);
});
