/** --confirm, --judge and --keep on a fake machine: after which time, and who is asked. */
import { expect, test } from "bun:test";
import { HupwatchError } from "../../src/error.ts";
import type { RunPlan } from "../../src/plan/run-plan.ts";
import { Stage } from "./stage.ts";

/** Generation 2 has the clients, and it is not decided whether it stays. */
async function warm(plan: Partial<RunPlan>): Promise<Stage> {
  const stage = await new Stage({ warmupMs: 0, ...plan }).begin();
  await stage.ready(1);
  await stage.post("swap");
  await stage.ready(2);
  stage.news();
  await stage.turn(500);
  return stage;
}

const judge = (stage: Stage) => stage.os.children.filter((c) => c.request.argv.at(-1) === "judge");

test("I9: silence gives the clients back when the time is over, in one step, and the old one was told nothing", async () => {
  const stage = await warm({ confirmMs: 30_000 });
  expect(stage.news()).toEqual(["unconfirmed 2"]);
  await stage.turn(29_999);
  expect(stage.news()).toEqual([]);
  await stage.turn(1);
  expect(stage.news()).toEqual(["steer 1", "rolled-back 2"]);
  expect(stage.failure?.reason).toBe("was not confirmed within 30.00 s (--confirm)");
  await stage.turn(500);
  expect(stage.news()).toEqual(["SIGTERM 2"]);
  expect(stage.child(1).signals).toEqual([]);
});

test("a rollback flips within the request, and waits for what is on its way before the stop signal", async () => {
  const stage = await warm({ keepMs: 60_000 });
  expect(stage.news()).toEqual(["swapped 2"]);
  stage.held.queued.add(2);
  stage.supervisor.post({ kind: "rollback", gen: 2, failure: { reason: "was given up" } });
  expect(stage.news()).toEqual(["steer 1", "rolled-back 2"]);
  await stage.turn(600);
  expect(stage.news()).toEqual([]);
  stage.held.queued.delete(2);
  await stage.turn(10);
  expect(stage.news()).toEqual(["SIGTERM 2"]);
});

test("one that is kept retires when its time is over", async () => {
  const stage = await warm({ keepMs: 60_000 });
  await stage.turn(60_000);
  expect(stage.news()).toEqual(["swapped 2", "unkept 1", "SIGTERM 1"]);
});

test("I5: a flip back has no use for a long warm-up", async () => {
  const stage = await warm({ confirmMs: 30_000, warmupMs: 300_000 });
  stage.supervisor.post({ kind: "rollback", gen: 2, failure: { reason: "was given up" } });
  await stage.turn(500);
  expect(stage.news()).toEqual(["steer 1", "rolled-back 2", "SIGTERM 2"]);
});

test("I3: where clients cannot be sent back, they stay with the new one, which stays", async () => {
  const stage = await warm({ confirmMs: 30_000 });
  stage.held.unreachable.set(1, new HupwatchError("socket.shut-down", "it no longer listens"));
  stage.supervisor.post({ kind: "rollback", gen: 2, failure: { reason: "was given up" } });
  expect(stage.held.public).toBe(2);
  expect(stage.supervisor.state).toMatchObject({ phase: "serving", current: 2, draining: [1] });
});

test("a judge is asked again and again, as the command would run, and confirms at the end", async () => {
  const stage = await warm({ confirmMs: 2500, judge: "judge", umask: 0o27 });
  for (const _ of [1, 2, 3]) {
    const last = judge(stage).at(-1);
    expect(last?.request).toMatchObject({ umask: 0o27, cwd: "/srv", env: { HUPWATCH_GENERATION: "2" } });
    last?.exits(0);
    await stage.turn(1000);
  }
  expect(judge(stage)).toHaveLength(4);
  expect(stage.news()).toEqual(["unconfirmed 2"]);
  judge(stage).at(-1)?.exits(0);
  await stage.turn(0);
  expect(stage.news()).toEqual(["swapped 2", "SIGTERM 1"]);
});

test("I9: its first failure is a rollback", async () => {
  const stage = await warm({ confirmMs: 60_000, judge: "judge" });
  judge(stage)[0]?.exits(0);
  await stage.turn(1000);
  judge(stage)[1]?.exits(4);
  await stage.turn(0);
  expect(stage.news()).toEqual(["unconfirmed 2", "steer 1", "rolled-back 2"]);
  expect(stage.failure?.reason).toBe("was not confirmed: judge 'judge' exited with code 4 after 0.00 s");
});

test("I5: one that does not answer is one that fails, and leaves no process behind", async () => {
  const stage = await warm({ confirmMs: 60_000, judge: "judge" });
  judge(stage)[0]?.forks();
  await stage.turn(10_000);
  expect(stage.failure?.reason).toBe("was not confirmed: judge 'judge' did not end within 10.00 s");
  expect(stage.running).toEqual([stage.child(1).pid, stage.os.children[1]?.pid as number]);
});

test("a judge is not asked any more when it is decided", async () => {
  const stage = await warm({ confirmMs: 60_000, judge: "judge" });
  stage.supervisor.post({ kind: "confirm", gen: 2 });
  await stage.turn(0);
  expect(judge(stage)[0]?.running).toBe(false);
  expect(stage.news()).toEqual(["unconfirmed 2", "swapped 2", "SIGTERM 1"]);
});
