/** How a generation is taken down, and what is left of it, on a fake machine. */
import { describe, expect, test } from "bun:test";
import { parseStopSequence } from "../../src/plan/stop-sequence.ts";
import type { Check } from "../../src/ready/check.ts";
import { Stage } from "./stage.ts";

async function serving(...args: ConstructorParameters<typeof Stage>): Promise<Stage> {
  const stage = await new Stage(...args).begin();
  await stage.ready(1);
  stage.news();
  return stage;
}

describe("the stop sequence", () => {
  test("each signal to the leader, each with its time, and KILL to every process", async () => {
    const stage = await serving({ stopSequence: parseStopSequence("USR1/5s/TERM/30s/KILL") });
    for (let i = 0; i < 2; i++) stage.child(1).forks();
    await stage.post("stop");
    await stage.turn(4999);
    expect(stage.child(1).signals).toEqual(["SIGUSR1"]);
    await stage.turn(1);
    expect(stage.child(1).signals).toEqual(["SIGUSR1", "SIGTERM"]);
    await stage.turn(29_999);
    expect(stage.running).toHaveLength(3);
    await stage.turn(1);
    expect(stage.news()).toContain("SIGKILL 1 x3");
    expect(stage.running).toEqual([]);
    expect(stage.ending).toMatchObject({ kind: "stopped", exit: { signal: "SIGKILL" } });
  });

  test("a process that obeys gets no further signal", async () => {
    const stage = await serving();
    stage.child(1).endsBy = ["SIGTERM"];
    await stage.post("stop");
    await stage.turn(100_000);
    expect(stage.news()).toEqual(["stopping", "SIGTERM 1", "gone 1", "close sockets"]);
    expect(stage.ending).toMatchObject({ kind: "stopped", exit: { signal: "SIGTERM" } });
  });

  test("a second TERM hurries: KILL to all at once", async () => {
    const stage = await serving();
    stage.child(1).forks();
    await stage.post("stop");
    await stage.turn(100);
    await stage.post("stop");
    expect(stage.running).toEqual([]);
    await stage.turn(50);
    expect(stage.ending?.kind).toBe("stopped");
  });

  test("QUIT: at once, every generation, those that drain included", async () => {
    const stage = await serving();
    await stage.post("swap");
    await stage.ready(2);
    await stage.turn(1000);
    expect(stage.child(1).running).toBe(true);
    await stage.post("quit");
    expect(stage.running).toEqual([]);
    expect(stage.ending).toMatchObject({ kind: "stopped", serving: 2, exit: { signal: "SIGKILL" } });
  });
});

describe("I6: what a dead leader leaves behind", () => {
  test("may end by itself", async () => {
    const stage = await serving();
    const worker = stage.child(1).forks();
    stage.child(1).exits(0);
    await stage.turn(1000);
    stage.child(1).followers.splice(stage.child(1).followers.indexOf(worker), 1);
    await stage.turn(50);
    expect(stage.news()).toEqual(["crashed 1", "gone 1", "close sockets"]);
  });

  test("is asked after its moment of grace, and killed three seconds later", async () => {
    const stage = await serving();
    stage.child(1).forks({ endsBy: "SIGTERM" });
    stage.child(1).forks({ endsBy: "SIGKILL" });
    stage.child(1).exits(0);
    await stage.turn(1499);
    expect(stage.news()).toEqual(["crashed 1"]);
    await stage.turn(100);
    expect(stage.news()).toEqual(["SIGTERM 1 x2"]);
    await stage.turn(2900);
    expect(stage.running).toHaveLength(1);
    await stage.turn(200);
    expect(stage.news()).toEqual(["SIGKILL 1", "gone 1", "close sockets"]);
    expect(stage.running).toEqual([]);
  });

  test("and what cannot even be killed is reported by its pid: hupwatch does not wait for ever", async () => {
    const stage = await serving();
    const stuck = stage.child(1).forks({ endsBy: "nothing" });
    stage.child(1).exits(0);
    await stage.turn(1500 + 3000 + 5000 + 200);
    expect(stage.news()).toContain(`left behind 1: ${stuck.pid}`);
    expect(stage.ending?.kind).toBe("failed");
    expect(stage.os.clock.idle).toBe(true);
  });

  test("workers that watch their parent cost no time", async () => {
    const stage = await serving();
    stage.child(1).forks({ loyal: true });
    await stage.post("stop");
    stage.child(1).exits(0);
    await stage.turn(0);
    expect(stage.ending?.kind).toBe("stopped");
  });

  test("a leader that ignores KILL for a while is waited for, and its end is still seen", async () => {
    const stage = await serving();
    stage.child(1).forks({ endsBy: "nothing" });
    await stage.post("quit");
    await stage.turn(5000 + 5000 + 200);
    expect(stage.ending?.kind).toBe("stopped");
    expect(stage.news().filter((line) => line.startsWith("left behind"))).toHaveLength(1);
  });
});

describe("--on-crash respawn", () => {
  const respawn = { times: 2, withinMs: 60_000 };

  test("the successor gets the dead one's listener and boots at once; the third time there is none", async () => {
    const stage = await serving({ respawn });
    stage.child(1).exits(3);
    await stage.turn(0);
    expect(stage.news()).toEqual(["crashed 1", "respawning 2", "steer 1", "start 2", "gone 1"]);
    expect(stage.held.open).toEqual(new Set([1]));
    await stage.ready(1);
    stage.child(2).exits(3);
    await stage.turn(99);
    expect(stage.os.children).toHaveLength(2);
    await stage.turn(1);
    expect(stage.os.children).toHaveLength(3);
    await stage.ready(1);
    stage.child(3).exits(4);
    await stage.turn(0);
    expect(stage.ending).toMatchObject({ kind: "failed", failure: { exit: { code: 4 } } });
  });

  const whole = 1500 + 3000 + 5000 + 200;

  test("the successor is not probed before the whole tree of the dead one is gone: a leftover process would answer", async () => {
    const stage = await serving({ respawn });
    stage.child(1).forks({ endsBy: "SIGTERM" });
    stage.child(1).exits(3);
    await stage.turn(1499);
    expect(stage.news()).toEqual(["crashed 1", "respawning 2", "steer 1", "start 2"]);
    await expect(stage.ready(1)).rejects.toThrow("nobody asks");
    await stage.turn(200);
    await stage.ready(1);
    expect(stage.news()).toEqual(["SIGTERM 1", "gone 1", "ready 2", "steer 1", "serving 2"]);
  });

  test("nor before the leftover processes of an earlier one are, which had the same listeners", async () => {
    const stage = await serving({ respawn });
    stage.child(1).forks({ endsBy: "SIGKILL" });
    stage.child(1).exits(3);
    await stage.turn(1000);
    stage.child(2).exits(3);
    await stage.turn(1000);
    expect(stage.news()).toContain("gone 2");
    expect(stage.child(3).running).toBe(true);
    await expect(stage.ready(1)).rejects.toThrow("nobody asks");
    await stage.turn(whole);
    await stage.ready(1);
    expect(stage.news()).toContain("ready 3");
  });

  test("I5: its time begins when it is probed, and a leftover process that cannot be ended leaves every successor unproven", async () => {
    const stage = await serving({ respawn, readyTimeoutMs: 1000 });
    stage.child(1).forks({ endsBy: "nothing" });
    stage.child(1).exits(3);
    await stage.turn(whole);
    expect(stage.news()).toContain("gone 1");
    await stage.turn(1000);
    expect(stage.news()).toContain("respawning 3");
    await stage.turn(200);
    await stage.ready(1);
    expect(stage.news()).toContain("ready 3, not proven");
  });

  test("a check that hears lines hears them from the start: what the successor says early counts", async () => {
    const said: (() => void)[] = [];
    const start: Check["start"] = (_, passed) => {
      said.push(passed);
      return { [Symbol.dispose]: () => {} };
    };
    const stage = await new Stage({ respawn, checks: [{ label: "line", needs: ["output"], start }] }).begin();
    said[0]?.();
    stage.child(1).forks();
    stage.child(1).exits(3);
    await stage.turn(0);
    said[1]?.();
    await stage.turn(0);
    expect(stage.news()).toContain("ready 2");
  });

  test("an order while the successor waits for its moment ends it", async () => {
    const stage = await serving({ respawn });
    stage.child(1).exits(3);
    await stage.turn(0);
    await stage.ready(1);
    stage.child(2).exits(3);
    await stage.turn(50);
    await stage.post("stop");
    await stage.turn(1000);
    expect(stage.os.children).toHaveLength(2);
    expect(stage.ending?.kind).toBe("stopped");
  });
});

describe("a replaced generation that holds connections", () => {
  const swapped = async () => {
    const stage = await serving({ drainUntilIdleMs: 5000 });
    stage.os.connections = 2;
    await stage.post("swap");
    await stage.ready(2);
    await stage.turn(1000);
    return stage;
  };

  test("gets its signal when the last one is closed", async () => {
    const stage = await swapped();
    await stage.turn(2000);
    expect(stage.child(1).signals).toEqual([]);
    stage.os.connections = 0;
    await stage.turn(100);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });

  test("gets it when its time is up, too", async () => {
    const stage = await swapped();
    await stage.turn(4900);
    expect(stage.child(1).signals).toEqual([]);
    await stage.turn(200);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });

  test("I2: is not waited for where the whole is ordered to stop", async () => {
    const stage = await serving({ drainUntilIdleMs: 5000 });
    stage.os.connections = 2;
    await stage.post("stop");
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
  });
});

/**
 * Found by reading: the cutover of a hupwatch that leaves sent TERM at once, and nobody was left to send KILL. daphne and
 * waitress cut what is in flight at TERM, which is why --drain-until-idle is there.
 */
describe("TERM without -k: what drains is waited for, and the signals that are due are sent", () => {
  const warming = async () => {
    const stage = await serving({ drainUntilIdleMs: 5000 });
    await stage.post("swap");
    await stage.ready(2);
    stage.os.connections = 1;
    return stage;
  };
  const cases: [string, () => Promise<Stage>][] = [
    [
      "in the warm-up",
      async () => {
        const stage = await warming();
        await stage.post("leave");
        await stage.turn(1000);
        return stage;
      },
    ],
    [
      "twice in the warm-up, which ends it",
      async () => {
        const stage = await warming();
        await stage.post("leave");
        await stage.post("leave");
        return stage;
      },
    ],
    [
      "after the cutover",
      async () => {
        const stage = await warming();
        await stage.turn(1000);
        await stage.post("leave");
        return stage;
      },
    ],
  ];
  test.each(cases)("%s", async (_, leave) => {
    const stage = await leave();
    await stage.turn(3900);
    expect(stage.child(1).signals).toEqual([]);
    await stage.turn(1100);
    expect(stage.child(1).signals).toEqual(["SIGTERM"]);
    expect(stage.ending).toBeUndefined();
    await stage.turn(30_000);
    expect(stage.child(1).signals).toEqual(["SIGTERM", "SIGKILL"]);
    await stage.turn(100);
    expect(stage.ending).toEqual({ kind: "left", serving: 2 });
    expect(stage.child(2)).toMatchObject({ running: true, signals: [] });
  });

  test("one more TERM hurries it", async () => {
    const stage = await warming();
    for (let i = 0; i < 3; i++) await stage.post("leave");
    await stage.turn(100);
    expect(stage.child(1)).toMatchObject({ running: false });
    expect(stage.ending).toEqual({ kind: "left", serving: 2 });
  });
});
