/**
 * Every order in every phase, on a fake machine: it ends (or goes on, for a HUP), nothing that was to go is left, and
 * what was to stay was never touched. `leave` is TERM and INT without -k, `stop` with it, `quit` is QUIT.
 */
import { describe, expect, test } from "bun:test";
import { Stage } from "./stage.ts";

const NAMES = ["starting", "serving", "booting", "warming", "rolling-back", "stopping", "draining"] as const;
type Name = (typeof NAMES)[number];

const PHASES: Record<Name, () => Promise<Stage>> = {
  starting: async () => new Stage().begin(),
  serving: async () => {
    const stage = await PHASES.starting();
    await stage.ready(1);
    return stage;
  },
  booting: async () => {
    const stage = await PHASES.serving();
    await stage.post("swap");
    return stage;
  },
  warming: async () => {
    const stage = await PHASES.booting();
    await stage.ready(2);
    return stage;
  },
  "rolling-back": async () => {
    const stage = await PHASES.booting();
    stage.child(2).forks();
    stage.child(2).exits(3);
    await stage.turn(0);
    return stage;
  },
  stopping: async () => {
    const stage = await PHASES.serving();
    await stage.post("stop");
    return stage;
  },
  draining: async () => {
    const stage = await PHASES.warming();
    await stage.turn(1000);
    return stage;
  },
};

/** Long enough for every deadline there is. */
const FOREVER_MS = 200_000;

test.each(NAMES)("%s is what it says", async (name) => {
  const { phase } = (await PHASES[name]()).supervisor.state;
  expect(phase as string).toBe(name === "draining" ? "serving" : name);
});

describe("stop: it ends, whatever ignores TERM, and leaves no process", () => {
  test.each(NAMES)("%s", async (name) => {
    const stage = await PHASES[name]();
    await stage.post("stop");
    await stage.turn(FOREVER_MS);
    expect(stage.ending?.kind).toBe("stopped");
    expect(stage.running).toEqual([]);
    expect(stage.news().filter((line) => line === "close sockets")).toHaveLength(1);
    expect(stage.os.clock.idle).toBe(true);
  });
});

describe("quit: at once", () => {
  test.each(NAMES)("%s", async (name) => {
    const stage = await PHASES[name]();
    await stage.post("quit");
    await stage.turn(100);
    expect(stage.ending?.kind).toBe("stopped");
    expect(stage.running).toEqual([]);
  });
});

describe("a second stop: at once, too", () => {
  test.each(NAMES)("%s", async (name) => {
    const stage = await PHASES[name]();
    await stage.post("stop");
    await stage.post("stop");
    await stage.turn(100);
    expect(stage.running).toEqual([]);
    expect(stage.ending?.kind).toBe("stopped");
  });
});

describe("I7: leave: the serving generation stays and is not touched", () => {
  const stays: [Name, number, string[]][] = [
    ["serving", 1, []],
    ["booting", 1, []],
    ["warming", 2, []],
    ["rolling-back", 1, []],
    ["draining", 2, []],
  ];
  test.each(stays)("%s", async (name, stayer, signals) => {
    const stage = await PHASES[name]();
    await stage.post("leave");
    await stage.turn(FOREVER_MS);
    expect(stage.ending).toEqual({ kind: "left", serving: stayer });
    expect(stage.child(stayer)).toMatchObject({ running: true, signals });
    expect(stage.held.public).toBe(stayer);
    expect(stage.news()).toContain("leave sockets");
    for (const other of stage.os.children.filter((c) => c !== stage.child(stayer)))
      expect(other.running && other.signals.length === 0).toBe(false);
  });

  test.each(["starting", "stopping"] as const)("%s: nobody serves, so it is a stop", async (name) => {
    const stage = await PHASES[name]();
    await stage.post("leave");
    await stage.turn(FOREVER_MS);
    expect(stage.ending?.kind).toBe("stopped");
    expect(stage.running).toEqual([]);
  });

  test.each(stays)("%s, then QUIT: stopped after all, unless it has left already", async (name) => {
    const stage = await PHASES[name]();
    await stage.post("leave");
    const left = stage.ending?.kind === "left";
    await stage.post("quit");
    await stage.turn(100);
    expect(stage.ending?.kind).toBe(left ? "left" : "stopped");
    if (!left) expect(stage.running).toEqual([]);
  });
});

describe("I4: HUP", () => {
  test.each(["starting", "serving", "booting", "warming", "rolling-back", "draining"] as const)(
    "%s: a generation that was started later serves in the end",
    async (name) => {
      const stage = await PHASES[name]();
      const before = stage.os.children.length;
      await stage.post("swap");
      for (let i = 0; i < 20 && stage.supervisor.state.phase !== "over"; i++) {
        const { state } = stage.supervisor;
        const next = "next" in state ? state.next : undefined;
        if (next !== undefined && state.phase !== "warming") await stage.ready(next);
        await stage.turn(10_000);
      }
      expect(stage.os.children.length).toBe(before + 1);
      const last = stage.os.children.at(-1);
      expect(stage.held.public).toBe(last?.generation as number);
      expect(last).toMatchObject({ running: true, signals: [] });
    },
  );

  test("stopping: refused aloud", async () => {
    const stage = await PHASES.stopping();
    stage.news();
    await stage.post("swap");
    expect(stage.news()).toEqual(["ignored"]);
  });
});
