/** Age, memory and a touched file on a fake machine: when they lead to a swap, and when not. */
import { expect, test } from "bun:test";
import type { ServiceEvent } from "../../src/events/service-event.ts";
import type { State } from "../../src/swap/machine.ts";
import { type Limits, Recycling, recycles } from "../../src/swap/recycling.ts";
import { play, swap, WAY_TO } from "../swap/play.ts";
import { FakeOs } from "./os.ts";

const NONE: Limits = { maxAgeMs: undefined, maxMemoryBytes: undefined, watchPath: undefined };
const age = { ageMs: 1, readyMs: 1 };
const SERVES: ServiceEvent = { event: "generation.serves", generation: 1, ...age };
const FAILED: ServiceEvent = {
  event: "swap.rolled-back",
  generation: 2,
  serving: 1,
  hadClients: false,
  failure: { reason: "" },
  ...age,
};

function recycling(limits: Partial<Limits>, random = () => 0) {
  const os = new FakeOs();
  const why: string[] = [];
  let swaps = 0;
  const service = { state: play(WAY_TO.serving).state as State, pids: [1], swap: () => void swaps++ };
  const tell = (event: ServiceEvent) => void (event.event === "swap.due" && why.push(event.why));
  const one = new Recycling({ ...NONE, ...limits }, os, service, tell, random);
  return { os, why, service, one, swaps: () => swaps, turn: (ms: number) => os.clock.turn(ms) };
}

test("what is not asked for is not looked at", () => {
  expect(recycles(NONE)).toBe(false);
  expect(recycles({ ...NONE, watchPath: "/x" })).toBe(true);
});

test("an old one is swapped, up to a tenth earlier", async () => {
  const day = recycling({ maxAgeMs: 86_400_000 });
  day.one.consume(SERVES);
  await day.turn(86_399_999);
  expect(day.swaps()).toBe(0);
  await day.turn(1);
  expect(day.why).toEqual(["it has served for 1440 m 00 s (--max-age)"]);
  const early = recycling({ maxAgeMs: 86_400_000 }, () => 0.999);
  early.one.consume(SERVES);
  await early.turn(0.91 * 86_400_000);
  expect(early.swaps()).toBe(1);
});

test("the age begins anew with each generation, whatever started it", async () => {
  const { one, turn, swaps } = recycling({ maxAgeMs: 600_000 });
  one.consume(SERVES);
  await turn(500_000);
  one.consume({ event: "swap.done", generation: 2, retired: 1, ...age });
  await turn(500_000);
  expect(swaps()).toBe(0);
  await turn(100_000);
  expect(swaps()).toBe(1);
});

test("never more often than once a minute, and less often after each failure", async () => {
  const { os, one, turn, swaps } = recycling({ maxMemoryBytes: 1000 });
  await turn(9_999);
  os.bytes = 1001;
  await turn(1);
  expect(swaps()).toBe(1);
  await turn(50_000);
  expect(swaps()).toBe(1);
  await turn(10_000);
  expect(swaps()).toBe(2);
  one.consume(FAILED);
  one.consume(FAILED);
  await turn(60_000);
  expect(swaps()).toBe(3);
  await turn(230_000);
  expect(swaps()).toBe(3);
  await turn(20_000);
  expect(swaps()).toBe(4);
});

test("an old one whose swap failed is tried again after the pause", async () => {
  const { one, turn, swaps } = recycling({ maxAgeMs: 600_000 });
  one.consume(SERVES);
  await turn(600_000);
  one.consume(FAILED);
  await turn(59_000);
  expect(swaps()).toBe(1);
  await turn(1000);
  expect(swaps()).toBe(2);
});

test("memory at the limit is no reason", async () => {
  const { os, turn, swaps } = recycling({ maxMemoryBytes: 1000 });
  os.bytes = 1000;
  await turn(600_000);
  expect(swaps()).toBe(0);
});

test("age and memory wait until nothing is under way", async () => {
  const { os, one, service, turn, swaps } = recycling({ maxAgeMs: 60_000, maxMemoryBytes: 1000 });
  os.bytes = 2000;
  service.state = play([...WAY_TO.serving, swap]).state;
  one.consume(SERVES);
  await turn(300_000);
  expect(swaps()).toBe(0);
  service.state = play(WAY_TO.serving).state;
  await turn(10_000);
  expect(swaps()).toBe(1);
});

test("a touch is a swap, also during another one; a file that comes is touched, and one that goes is not", async () => {
  const { os, service, turn, why } = recycling({ watchPath: "/srv/restart.txt" });
  await turn(5000);
  expect(why).toEqual([]);
  os.changedAt = 1;
  await turn(1000);
  os.changedAt = undefined;
  await turn(1000);
  service.state = play([...WAY_TO.serving, swap]).state;
  os.changedAt = 2;
  await turn(3000);
  expect(why).toEqual(Array(2).fill("/srv/restart.txt was touched (--watch-path)"));
});

test("no timer outlives it", async () => {
  const { os, one, turn, swaps } = recycling({ maxAgeMs: 1000, maxMemoryBytes: 1000, watchPath: "/x" });
  one.consume(SERVES);
  one[Symbol.dispose]();
  os.bytes = 2000;
  os.changedAt = 1;
  await turn(600_000);
  expect(swaps()).toBe(0);
});
