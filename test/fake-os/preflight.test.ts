/** --preflight on a fake machine: what is run before a generation, and what its failure does not start. */
import { expect, test } from "bun:test";
import { Stage } from "./stage.ts";

async function withPreflights(...preflights: string[]): Promise<Stage> {
  return await new Stage({ preflights, readyTimeoutMs: 60_000 }).begin();
}

const line = (stage: Stage) => stage.os.children.at(-1)?.request.argv.at(-1);

async function ends(stage: Stage, code: number): Promise<void> {
  stage.os.children.at(-1)?.exits(code);
  await stage.turn(0);
}

/** Generation 1 serves, and generation 2 is due. */
async function swapping(...preflights: string[]): Promise<Stage> {
  const stage = await withPreflights(...preflights);
  for (const _ of preflights) await ends(stage, 0);
  await stage.ready(1);
  stage.news();
  await stage.post("swap");
  return stage;
}

test("they run one after the other, and the command after the last", async () => {
  const stage = await withPreflights("one", "two");
  expect(line(stage)).toBe("one");
  await ends(stage, 0);
  expect(line(stage)).toBe("two");
  expect(stage.news()).toEqual(["steer 1", "preflight 1"]);
  await ends(stage, 0);
  expect(line(stage)).toBe("server");
  expect(stage.news()).toEqual(["preflight 1", "start 1"]);
});

test("they are run as the command would be: its directory, environment and user", async () => {
  const stage = await new Stage({
    preflights: ["one"],
    user: "app",
    umask: 0o27,
    environment: { A: "1" },
  }).begin();
  const { cwd, user, umask, env, descriptors } = stage.os.children[0]?.request ?? {};
  expect({ cwd, user, umask, descriptors }).toEqual({
    cwd: "/srv",
    user: "app",
    umask: 0o27,
    descriptors: [],
  });
  expect(env).toMatchObject({ A: "1", HUPWATCH_GENERATION: "1" });
});

test("I8: one that fails refuses the swap, and nothing is started", async () => {
  const stage = await swapping("one", "two");
  await ends(stage, 0);
  await ends(stage, 3);
  await stage.turn(50);
  expect(stage.news()).toEqual(["preflight 2", "rolled-back 2", "gone 2"]);
  expect(stage.failure?.reason).toBe("was not started: preflight 'two' exited with code 3 after 0.00 s");
  expect(stage.running).toEqual([stage.child(1).pid]);
  expect(stage.held.open).toEqual(new Set([1]));
});

test("I5: one that does not end is killed with all that it started", async () => {
  const stage = await swapping("one");
  stage.child(2).forks();
  await stage.turn(60_000);
  expect(stage.failure?.reason).toContain("preflight 'one' did not end within 1 m 00 s (--ready-timeout)");
  expect(stage.news()).toEqual(["rolled-back 2", "gone 2"]);
  expect(stage.running).toEqual([stage.child(1).pid]);
});

test("I4: a HUP meanwhile is one more swap, whatever becomes of this one", async () => {
  const stage = await swapping("one");
  await stage.post("swap");
  await ends(stage, 1);
  await stage.turn(50);
  expect(stage.news()).toEqual(["swap-queued", "rolled-back 2", "gone 2"]);
  expect(stage.child(3).request.argv.at(-1)).toBe("one");
});

test("I6: leaving ends it, and the serving one stays", async () => {
  const stage = await swapping("one");
  stage.child(2).forks();
  await stage.post("leave");
  expect(stage.ending).toEqual({ kind: "left", serving: 1 });
  expect(stage.running).toEqual([stage.child(1).pid]);
});

test("what takes a dead one's place is not delayed", async () => {
  const stage = await new Stage({ preflights: ["one"], respawn: { times: 3, withinMs: 60_000 } }).begin();
  await ends(stage, 0);
  await stage.ready(1);
  stage.child(1).exits(1);
  await stage.turn(0);
  expect(stage.child(2).request.argv).toEqual(["server"]);
});

test("a first start that it refuses ends with hupwatch's own code", async () => {
  const stage = await withPreflights("one");
  await ends(stage, 3);
  await stage.turn(50);
  expect(stage.ending).toMatchObject({ kind: "failed", failure: { exitCode: 125 } });
});
