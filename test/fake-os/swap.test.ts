/** The supervisor's swaps on a fake machine: in which order, after which time, and what happens when they fail. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { HupwatchError } from "../../src/error.ts";
import { hearOfBugs } from "../../src/os/aid.ts";
import { poll } from "../../src/os/clock.ts";
import { switchTo } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TurnedClock } from "./clock.ts";
import { FakeHeld } from "./sockets.ts";
import { Stage } from "./stage.ts";

/** Generation 1 serves. */
async function serving(...args: ConstructorParameters<typeof Stage>): Promise<Stage> {
  const stage = await new Stage(...args).begin();
  await stage.ready(1);
  stage.news();
  return stage;
}

/** Generation 2 is ready and both serve. */
async function warming(...args: ConstructorParameters<typeof Stage>): Promise<Stage> {
  const stage = await serving(...args);
  await stage.post("swap");
  await stage.ready(2);
  stage.news();
  return stage;
}

test("a directory of metrics goes with its generation, also when the env file has gone before", async () => {
  using dir = tempDir();
  const envFile = `${dir.path}/.env`;
  writeFileSync(envFile, `PROMETHEUS_MULTIPROC_DIR=${dir.path}/metrics/{gen}`);
  const stage = await serving({ envFile });
  expect(readdirSync(`${dir.path}/metrics`)).toEqual(["1"]);
  unlinkSync(envFile);
  await stage.post("swap");
  expect(stage.news()).toEqual(["rolled-back 2", "gone 2"]);
  expect(readdirSync(`${dir.path}/metrics`)).toEqual(["1"]);
  await stage.post("stop");
  stage.child(1).exits(0);
  await stage.turn(0);
  expect(readdirSync(`${dir.path}/metrics`)).toEqual([]);
});

test("a dead generation's pid file is removed from the release that it was started in", async () => {
  using dir = tempDir();
  for (const release of ["1", "2"]) mkdirSync(`${dir.path}/${release}`);
  switchTo(`${dir.path}/1`, `${dir.path}/current`);
  // No pid is that high (proc(5), pid_max).
  writeFileSync(`${dir.path}/1/g.pid.1`, "4194305\n");
  const stage = await serving({ generationPidfile: `${dir.path}/current/g.pid.{gen}` });
  expect(readdirSync(`${dir.path}/1`)).toEqual([]);
  switchTo(`${dir.path}/2`, `${dir.path}/current`);
  for (const release of ["1", "2"]) writeFileSync(`${dir.path}/${release}/g.pid.1`, "4194305\n");
  await stage.post("stop");
  stage.child(1).exits(0);
  await stage.turn(0);
  expect(readdirSync(`${dir.path}/1`)).toEqual([]);
  expect(readdirSync(`${dir.path}/2`)).toEqual(["g.pid.1"]);
});

describe("a good swap", () => {
  test("the flip, the warm-up, the stop signal, in this order", async () => {
    const stage = await serving({ warmupMs: 1000 });
    await stage.post("swap");
    await stage.turn(5000);
    expect(stage.news()).toEqual(["start 2"]);
    await stage.ready(2);
    expect(stage.news()).toEqual(["ready 2", "steer 2"]);
    await stage.turn(999);
    expect(stage.news()).toEqual([]);
    await stage.turn(1);
    expect(stage.news()).toEqual(["swapped 2", "SIGTERM 1"]);
    stage.child(1).exits(0);
    await stage.turn(0);
    expect(stage.news()).toEqual(["gone 1"]);
    expect(stage.held.open).toEqual(new Set([2]));
    expect(stage.os.clock.idle).toBe(true);
  });

  test("without a warm-up the settle time of 0.5 s is kept all the same", async () => {
    const stage = await warming({ warmupMs: 0 });
    await stage.turn(499);
    expect(stage.child(1).signals).toEqual([]);
    await stage.turn(1);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });

  test("where nothing is steered there is nothing to settle", async () => {
    const shared = (note: (what: string) => void) => new FakeHeld(note, { mode: "share", why: "a test" });
    const stage = await warming({ warmupMs: 0 }, shared);
    await stage.turn(0);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });

  test("a client in the old accept queue delays the stop signal", async () => {
    const stage = await serving();
    stage.held.queued.add(1);
    await stage.post("swap");
    await stage.ready(2);
    await stage.turn(3000);
    expect(stage.child(1).signals).toEqual([]);
    stage.held.queued.delete(1);
    await stage.turn(10);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });

  test("I5: a queue that never empties delays it by five seconds and no more", async () => {
    const stage = await serving();
    stage.held.queued.add(1);
    await stage.post("swap");
    await stage.ready(2);
    await stage.turn(1000 + 4990);
    expect(stage.child(1).signals).toEqual([]);
    await stage.turn(20);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });

  test("the new generation learns its number", async () => {
    const stage = await warming();
    expect(stage.child(2).request.env).toMatchObject({
      HUPWATCH_GENERATION: "2",
      HUPWATCH_NAME: "test",
      HUPWATCH_PID: "1000",
      LISTEN_FDS: "1",
      LISTEN_FDNAMES: "web",
    });
  });

  test("a hundred swaps leave two listeners at most and no timer", async () => {
    const stage = await serving({ warmupMs: 0 });
    for (let generation = 2; generation <= 101; generation++) {
      await stage.post("swap");
      await stage.ready(generation);
      expect(stage.held.open.size).toBe(2);
      await stage.turn(500);
      stage.child(generation - 1).exits(0);
      await stage.turn(0);
    }
    expect(stage.held.open).toEqual(new Set([101]));
    expect(stage.running).toEqual([stage.child(101).pid]);
    expect(stage.os.clock.idle).toBe(true);
  });
});

describe("I8: a swap that fails", () => {
  async function expectUntouched(stage: Stage): Promise<void> {
    expect(stage.held.public).toBe(1);
    expect(stage.child(1)).toMatchObject({ running: true, signals: [] });
    await stage.turn(60_000);
    expect(stage.supervisor.state).toMatchObject({ phase: "serving", current: 1, draining: [] });
    expect(stage.held.open).toEqual(new Set([1]));
    expect(stage.running).toEqual([stage.child(1).pid]);
    expect(stage.os.clock.idle).toBe(true);
  }

  test("not ready in time: it is asked to stop, then killed; it never had a client that would wait", async () => {
    const stage = await serving({ readyTimeoutMs: 2000 });
    await stage.post("swap");
    await stage.turn(1999);
    expect(stage.news()).toEqual(["start 2"]);
    await stage.turn(1);
    expect(stage.news()).toEqual(["rolled-back 2", "SIGTERM 2"]);
    await stage.turn(5000);
    expect(stage.news()).toEqual(["SIGKILL 2", "gone 2"]);
    await expectUntouched(stage);
  });

  test("dies in the boot", async () => {
    const stage = await serving();
    await stage.post("swap");
    stage.child(2).exits(3);
    await stage.turn(0);
    expect(stage.news()).toEqual(["start 2", "rolled-back 2", "gone 2"]);
    await expectUntouched(stage);
  });

  test("cannot be started at all", async () => {
    const stage = await serving();
    await stage.turn(6000);
    stage.os.refusal = new HupwatchError("command.not-found", "command not found: 'server'", {
      exitCode: 127,
    });
    await stage.post("swap");
    expect(stage.news()).toEqual(["rolled-back 2", "gone 2"]);
    // Counted from its own beginning, not from hupwatch's.
    expect(stage.ages.get(2)).toBe(0);
    await expectUntouched(stage);
  });

  test("dies in the warm-up: the flip is taken back, and the clients first", async () => {
    const stage = await warming();
    await stage.turn(900);
    stage.child(2).dies("SIGSEGV");
    await stage.turn(0);
    expect(stage.news()).toEqual(["steer 1", "rolled-back 2", "gone 2"]);
    // The warm-up that is off has no timer left to end it.
    expect(stage.os.clock.idle).toBe(true);
    await expectUntouched(stage);
  });

  test("its listener cannot be put in place", async () => {
    const stage = await serving();
    stage.held.unreachable.set(2, new HupwatchError("bind.in-use", "a stranger listens there"));
    await stage.post("swap");
    await stage.ready(2);
    expect(stage.news()).toEqual(["start 2", "ready 2", "steer 1", "rolled-back 2", "SIGTERM 2"]);
    await stage.turn(5000);
    await expectUntouched(stage);
  });

  test("and the next one may be good", async () => {
    const stage = await serving();
    await stage.post("swap");
    stage.child(2).exits(3);
    await stage.turn(0);
    await stage.post("swap");
    await stage.ready(3);
    await stage.turn(1000);
    expect(stage.held.public).toBe(3);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });
});

describe("I4: HUPs during a swap", () => {
  test.each([
    ["while it boots", 0],
    ["in the warm-up", 1],
  ])("%s: one more follows", async (_, ready) => {
    const stage = await serving();
    await stage.post("swap");
    if (ready) await stage.ready(2);
    for (let i = 0; i < 5; i++) await stage.post("swap");
    if (!ready) await stage.ready(2);
    await stage.turn(1000);
    await stage.ready(3);
    await stage.turn(1000);
    expect(stage.held.public).toBe(3);
    expect(stage.os.children).toHaveLength(3);
  });

  test("I1: while a failed one is taken down: when its last process is gone", async () => {
    const stage = await serving({ readyTimeoutMs: 1000 });
    await stage.post("swap");
    stage.child(2).forks({ endsBy: "SIGTERM" });
    await stage.turn(1000);
    await stage.post("swap");
    stage.child(2).exits(0);
    await stage.turn(1000);
    expect(stage.os.children).toHaveLength(2);
    await stage.turn(600);
    expect(stage.os.children).toHaveLength(3);
  });
});

test("too many drain: the oldest is killed", async () => {
  const stage = await serving({ maxDraining: 2 });
  for (const next of [2, 3, 4]) {
    await stage.post("swap");
    await stage.ready(next);
    await stage.turn(1000);
  }
  expect(stage.child(1).signals).toEqual(["SIGTERM", "SIGKILL"]);
  // https://github.com/django/channels/issues/1460: "the log does not say why, nor names the option".
  const news = stage.news();
  expect(news.indexOf("hurried 1")).toBe(news.indexOf("SIGKILL 1") - 1);
  expect(stage.child(2).signals).toEqual(["SIGTERM"]);
  expect(stage.running).toEqual([2, 3, 4].map((g) => stage.child(g).pid));
});

/**
 * "An accident is healed in silence": https://github.com/datarobot/datarobot-user-models/pull/2314,
 * https://github.com/benoitc/gunicorn/issues/1785.
 */
describe("an accident that was healed is said", () => {
  test("the old one is killed in the warm-up", async () => {
    const stage = await serving();
    await stage.post("swap");
    await stage.ready(2);
    stage.news();
    stage.child(1).dies("SIGKILL");
    await stage.turn(0);
    expect(stage.news()).toContain("died 1");
    expect(stage.failure?.reason).toMatch(/^was killed by SIGKILL after .* \(out of memory\?\)$/);
  });

  test("the new one is killed after the flip", async () => {
    const stage = await serving();
    await stage.post("swap");
    await stage.ready(2);
    stage.child(2).dies("SIGKILL");
    await stage.turn(0);
    expect(stage.news()).toContain("rolled-back 2");
    expect(stage.failure?.reason).toEndWith(" (out of memory? A swap needs memory for two generations)");
  });

  test.each([
    ["SIGTERM", false],
    ["SIGKILL", true],
    ["SIGSEGV", true],
  ])("one that drains ends by %s", async (signal, isSaid) => {
    const stage = await serving();
    await stage.post("swap");
    await stage.ready(2);
    await stage.turn(1000);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
    stage.child(1).dies(signal);
    await stage.turn(0);
    expect(stage.news().includes("died 1")).toBe(isSaid);
  });

  test("one that hupwatch killed itself is not said to have run out of memory", async () => {
    const stage = await serving();
    await stage.post("swap");
    await stage.ready(2);
    await stage.turn(31_000);
    expect(stage.child(1).running).toBe(false);
    const news = stage.news();
    expect(news).toContain("SIGKILL 1");
    expect(news).not.toContain("died 1");
  });

  test("workers that the kernel killed during the swap", async () => {
    const stage = await serving();
    stage.os.killed = 3; // long before
    await stage.post("swap");
    await stage.ready(2);
    stage.os.killed = 5;
    await stage.turn(1000);
    expect(stage.news().filter((line) => line.startsWith("short"))).toEqual(["short 2"]);
    stage.os.killed = 6;
    stage.child(1).exits(0);
    await stage.turn(1000);
    expect(stage.news().filter((line) => line.startsWith("short"))).toEqual(["short 2"]);
  });
});

describe("a bug is told, and the service goes on", () => {
  const bugs = () => {
    const heard: unknown[] = [];
    return { heard, ...hearOfBugs((bug) => heard.push(bug)) };
  };

  // https://github.com/rfjakob/earlyoom/issues/328 and the field case made of it: an exception "ends hupwatch in the middle of a swap".
  test("in a flip: the swap is rolled back", async () => {
    using told = bugs();
    const stage = await serving();
    stage.held.unreachable.set(2, new RangeError("not a listener of mine"));
    await stage.post("swap");
    await stage.ready(2);
    expect(told.heard).toEqual([new RangeError("not a listener of mine")]);
    expect(stage.news()).toContain("rolled-back 2");
    stage.child(2).exits();
    await stage.turn(10_000);
    await stage.post("swap");
    await stage.ready(3);
    expect(stage.news()).toContain("steer 3");
  });

  test("in a look that is repeated: the next look follows", async () => {
    const clock = new TurnedClock();
    let looks = 0;
    using _poll = poll(clock, 10, () => {
      looks++;
      if (looks === 1) throw new RangeError("a bug");
      return looks < 3 ? "more" : "enough";
    });
    await expect(clock.turn(0)).rejects.toThrow("a bug");
    await clock.turn(100);
    expect(looks).toBe(3);
  });
});

describe("a first start without a deadline", () => {
  const patient = { isReadyTimeoutGiven: false, readyTimeoutMs: 1000 };

  // https://github.com/tiangolo/uvicorn-gunicorn-fastapi-docker/issues/13: a model takes minutes to load.
  test("goes on while its process lives, and says what it waits for", async () => {
    const stage = await new Stage(patient).begin();
    await stage.turn(3_600_000);
    expect(stage.news()).toContain("waiting 1");
    expect(stage.ending).toBeUndefined();
    await stage.ready(1);
    expect(stage.news()).toContain("serving 1");
  });

  test("answers a HUP by a fresh copy, when the one before it is gone", async () => {
    const stage = await new Stage(patient).begin();
    await stage.turn(1000);
    await stage.post("swap");
    expect(stage.child(1).signals).toEqual(["SIGKILL"]);
    await stage.turn(100);
    // It has the very listener of the first.
    await stage.ready(1);
    expect(stage.news()).toContain("serving 2");
    expect(stage.running).toEqual([stage.child(2).pid]);
  });

  test("one after it has a deadline: the old one is to be protected", async () => {
    const stage = await new Stage(patient).begin();
    await stage.ready(1);
    await stage.post("swap");
    await stage.turn(1000);
    expect(stage.news()).toContain("rolled-back 2");
  });
});

describe("a command that listens by itself", () => {
  const bound = (port: number, host = [0, 0, 0, 0]) => ({
    pid: 7,
    inode: 1000 + port,
    at: { host: new Uint8Array(host), port },
  });

  // https://github.com/conda/conda/issues/8586: "generation 2 serves, ready in 0.00 s", and the path is gone for ever.
  test("is not swapped where no socket is held: the reason names address, pid and way out", async () => {
    const stage = await serving({ sockets: [] });
    stage.os.listening = [bound(3000)];
    await stage.post("swap");
    expect(stage.news()).toContain("rolled-back 2");
    expect(stage.os.children).toHaveLength(1);
    expect(stage.failure?.reason).toContain("the serving one listens on 0.0.0.0:3000 (pid 7)");
    expect(stage.failure?.reason).toContain("--handover intercept");
    expect(stage.ending).toBeUndefined();
  });

  test("is swapped with --handover none, and where the kernel chose the port", async () => {
    const stage = await serving({ sockets: [], isHandoverRefused: true });
    stage.os.listening = [bound(3000)];
    await stage.post("swap");
    expect(stage.os.children).toHaveLength(2);
    const other = await serving({ sockets: [] });
    other.os.listening = [bound(40_000, [127, 0, 0, 1])];
    await other.post("swap");
    expect(other.os.children).toHaveLength(2);
  });

  // "`--handover none` without a socket counts as ready at once: 'ready in 0.00 s' because nobody was asked."
  test("with --handover none alone it is not called ready in 0.00 s: nothing was asked", async () => {
    const said = async (isReadinessGiven: boolean) => {
      const stage = new Stage({ sockets: [], isHandoverRefused: true, isReadinessGiven });
      await stage.begin();
      await stage.ready(1);
      return stage.news();
    };
    expect(await said(false)).toContain("ready 1, not proven");
    expect(await said(true)).toContain("ready 1");
  });

  // The app swallows that its second listener was refused.
  test("on one more address: a warning, and one more when its successor did not get it", async () => {
    const spec = { name: "x", text: ":80", address: { kind: "tcp", host: "", port: 80 } } as const;
    const stage = new Stage({ sockets: [spec] });
    stage.os.listening = [bound(9100)];
    await stage.begin();
    await stage.ready(1);
    expect(stage.news()).toContain("unheld 1");
    await stage.post("swap");
    stage.os.listening = [];
    await stage.ready(2);
    await stage.turn(1000);
    stage.child(1).exits(0);
    await stage.turn(2000);
    expect(stage.news()).toContain("address-lost 2");
  });
});
