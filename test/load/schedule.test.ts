import { describe, expect, test } from "bun:test";
import { EagerSchedule, fraction, PacedSchedule, type Schedule } from "../../src/load/schedule.ts";

/** Takes all there is at this moment. */
function drain(schedule: Schedule, now: number): number[] {
  const taken: number[] = [];
  for (let due = schedule.take(now); due !== undefined; due = schedule.take(now)) taken.push(due);
  return taken;
}

describe("paced", () => {
  const paced = (slots = Number.POSITIVE_INFINITY, maxWaitMs = 1000) =>
    new PacedSchedule({ startMs: 100, rate: 10, slots, maxWaitMs });

  test("slot i is due at start + i / rate, and nothing earlier", () => {
    const schedule = paced();
    expect(drain(schedule, 99)).toEqual([]);
    expect(schedule.nextDue()).toBe(100);
    expect(drain(schedule, 100)).toEqual([100]);
    expect(schedule.nextDue()).toBe(200);
    expect(drain(schedule, 399.9)).toEqual([200, 300]);
  });

  test("slots that waited are handed out with the time they were due, not the time they got", () => {
    expect(drain(paced(), 1100)).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100]);
  });

  test("a slot that waited longer than a client would is missed, and counted", () => {
    const schedule = paced();
    expect(drain(schedule, 1350)).toEqual([400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300]);
    expect(schedule).toMatchObject({ missed: 3, fallen: 13 });
  });

  test("with jitter each is due within its own slot, the same again for the same seed", () => {
    const dues = (seed: number) => {
      const jitter = (slot: number) => fraction(seed, slot);
      return drain(new PacedSchedule({ startMs: 0, rate: 10, slots: 50, maxWaitMs: 1e6, jitter }), 1e5);
    };
    const seed = Math.floor(Math.random() * 2 ** 32);
    expect({ seed, wrong: dues(seed).filter((due, i) => due < i * 100 || due >= (i + 1) * 100) }).toEqual({
      ...{ seed, wrong: [] },
    });
    expect(dues(seed)).toEqual(dues(seed));
    expect(dues(seed)).not.toEqual(dues(seed + 1));
    const mean = dues(seed).reduce((sum, due, i) => sum + due - i * 100, 0) / 50;
    expect({ seed, isSpread: mean > 25 && mean < 75 }).toEqual({ seed, isSpread: true });
  });

  test("stopped within a slot: it counts if it was due by then", () => {
    const schedule = new PacedSchedule({
      ...{ startMs: 0, rate: 10, slots: 50, maxWaitMs: 1e6, jitter: () => 0.5 },
    });
    schedule.stop(340);
    expect(drain(schedule, 1000)).toEqual([50, 150, 250]);
    expect(schedule.finished).toBe(true);
  });

  test("no drift: the millionth slot is where it belongs", () => {
    const schedule = new PacedSchedule({
      ...{ startMs: 0, rate: 3, slots: Number.POSITIVE_INFINITY, maxWaitMs: Number.POSITIVE_INFINITY },
    });
    let last = 0;
    for (let i = 0; i <= 1_000_000; i++) last = schedule.take(1e12) as number;
    expect(last).toBeCloseTo(1_000_000_000 / 3, 3);
  });

  test("ends after its slots", () => {
    const schedule = paced(2);
    expect(drain(schedule, 500)).toEqual([100, 200]);
    expect(schedule).toMatchObject({ finished: true, missed: 0, fallen: 2 });
    expect(schedule.nextDue()).toBeUndefined();
  });

  test("stopped: what is due goes on waiting, what is not due never was", () => {
    const schedule = paced();
    schedule.take(100);
    schedule.stop(450);
    expect(schedule.finished).toBe(false);
    expect(schedule.take(450)).toBe(200);
    expect(drain(schedule, 10_000)).toEqual([]);
    expect(schedule).toMatchObject({ finished: true, missed: 2, fallen: 4 });
    const early = paced();
    early.stop(50);
    expect(early).toMatchObject({ finished: true, missed: 0, fallen: 0 });
  });
});

describe("eager", () => {
  test("always due, until the time or the count is over", () => {
    const byTime = new EagerSchedule(100, Number.POSITIVE_INFINITY);
    expect([byTime.take(0), byTime.take(99), byTime.take(100)]).toEqual([0, 99, undefined]);
    expect(byTime).toMatchObject({ finished: true, fallen: 2, missed: 0 });
    const byCount = new EagerSchedule(Number.POSITIVE_INFINITY, 2);
    expect(byCount.finished).toBe(false);
    expect([byCount.take(5), byCount.take(5), byCount.take(5)]).toEqual([5, 5, undefined]);
    expect(byCount.finished).toBe(true);
  });

  test("stopped", () => {
    const schedule = new EagerSchedule(100, 10);
    schedule.stop();
    expect(schedule.take(0)).toBeUndefined();
    expect(schedule.finished).toBe(true);
  });
});
