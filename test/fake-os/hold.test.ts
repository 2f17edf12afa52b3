/** hold on a fake machine: the deadline, the warning, and no timer that outlives it. */
import { expect, test } from "bun:test";
import type { ServiceEvent } from "../../src/events/service-event.ts";
import { Waiting } from "../../src/swap/waiting.ts";
import { TurnedClock } from "./clock.ts";
import { Stage } from "./stage.ts";

async function holding(): Promise<Stage> {
  const stage = await new Stage({ warmupMs: 0 }).begin();
  await stage.ready(1);
  stage.news();
  stage.supervisor.post({ kind: "hold", ms: 30_000 });
  return stage;
}

test("clients wait where no process is, and the deadline starts a fresh copy for them", async () => {
  const stage = await holding();
  expect(stage.news()).toEqual(["steer 2", "began"]);
  expect(stage.running).toEqual([stage.child(1).pid]);
  await stage.turn(29_999);
  expect(stage.news()).toEqual([]);
  await stage.turn(1);
  expect(stage.news()).toEqual(["ended 2", "start 2"]);
  expect(stage.held.open).toEqual(new Set([1, 2]));
  await stage.ready(2);
  await stage.turn(500);
  expect(stage.news()).toEqual(["ready 2", "steer 2", "swapped 2", "SIGTERM 1"]);
});

test("a reload in time is the only swap", async () => {
  const stage = await holding();
  await stage.post("swap");
  await stage.ready(2);
  await stage.turn(60_000);
  expect(stage.news().filter((line) => line.startsWith("start"))).toEqual(["start 2"]);
});

test("a preflight that fails gives the clients to the old one", async () => {
  const stage = await new Stage({ preflights: ["one"] }).begin();
  stage.os.children[0]?.exits(0);
  await stage.turn(0);
  await stage.ready(1);
  stage.supervisor.post({ kind: "hold", ms: 30_000 });
  await stage.post("swap");
  stage.news();
  stage.os.children.at(-1)?.exits(1);
  await stage.turn(50);
  expect(stage.news()).toEqual(["steer 1", "rolled-back 2", "gone 2"]);
});

test("four fifths of the queue are a warning, once for each address", async () => {
  const clock = new TurnedClock();
  const told: ServiceEvent[] = [];
  let queued = 79;
  const listeners = { queues: () => [{ address: "unix:/x", queued }] };
  using _waiting = new Waiting(
    { clock, ms: 60_000, listeners, limit: 100 },
    () => {},
    (event) => told.push(event),
  );
  await clock.turn(1000);
  expect(told).toEqual([]);
  queued = 80;
  await clock.turn(1000);
  expect(told).toEqual([{ event: "hold.filling", address: "unix:/x", queued: 80, limit: 100 }]);
});
