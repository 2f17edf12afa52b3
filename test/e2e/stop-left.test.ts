/** `hupwatch stop NAME` of a service whose hupwatch is gone: what lives of it is ended as its hupwatch would have, and nothing else is. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { StoredState } from "../../src/instance/state-file.ts";
import { cli, type Home, home } from "../harness/cli.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { readProcess } from "../harness/processes.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

const LEAVINGS = ["SIGKILL", "SIGTERM"] as const;
const STOPPED = { exitCode: 0, stdout: "shop: stopped; its hupwatch was gone\n", stderr: "" };

const filesOf = ({ path }: Home) =>
  readdirSync(path, { recursive: true }).filter((name) => name !== "hupwatch");

async function leave(hupwatch: Hupwatch, signal: NodeJS.Signals): Promise<void> {
  hupwatch.signal(signal);
  await hupwatch.exited;
}

/** It serves until it is stopped by QUIT, and says so. */
const ENDS_BY_QUIT =
  "trap 'echo got QUIT; exit 0' QUIT; trap 'echo got TERM' TERM; echo stands >&2; while :; do sleep 0.1; done";

// "`hupwatch stop NAME` of a service whose hupwatch is gone cannot stop it although state knows the pids"
describe.each(LEAVINGS)("after %s of hupwatch", (signal) => {
  test.each(TRANSPORTS)(
    "gunicorn (%s): nothing is left, its path and its files neither",
    async (transport) => {
      using place = home();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      const words = ["--name", "shop", "--", ...gunicorn(bind)];
      await using hupwatch = await startHupwatch(words, { cwd: site.current, env: place.env });
      await leave(hupwatch, signal);
      expect((await cli(["status"], place)).stdout).toContain("'hupwatch stop shop' ends it");
      expect(await cli(["stop", "shop"], place)).toEqual(STOPPED);
      await hupwatch.assertTreeGone();
      expect(filesOf(place)).toEqual([]);
      if (transport === "unix") expect(existsSync(bind.replace("unix:", ""))).toBe(false);
      expect(await cli(["stop", "shop"], place)).toMatchObject({ exitCode: 4 });
    },
  );
});

test("the stop sequence is its own, and an intercepted command's keeper ends with it", async () => {
  using place = home();
  const words = ["--name", "shop", "--ready", "line:stands", "--stop-signal", "QUIT/20s", "--"];
  await using hupwatch = await startHupwatch([...words, "sh", "-c", ENDS_BY_QUIT], { env: place.env });
  await leave(hupwatch, "SIGKILL");
  expect(await cli(["stop", "shop"], place)).toEqual(STOPPED);
  await hupwatch.assertTreeGone();
  expect(hupwatch.output).toBe("got QUIT\n");
});

test("a number that another process has by now gets no signal", async () => {
  using place = home();
  const words = ["--name", "shop", "--ready", "delay:0", "--", "sleep", "1000"];
  await using hupwatch = await startHupwatch(words, { env: place.env });
  await leave(hupwatch, "SIGKILL");
  const path = `${place.path}/hupwatch/shop.json`;
  const state = JSON.parse(readFileSync(path, "utf8")) as StoredState;
  const [generation] = state.generations;
  if (!generation) throw new Error("no generation is noted");
  generation.startTime -= 1;
  writeFileSync(path, JSON.stringify(state));
  expect(await cli(["stop", "shop"], place)).toMatchObject({ exitCode: 4 });
  await until(() => readProcess(generation.pid)?.state === "S", { what: "it to sleep on" });
});

// "`status` of a just-killed (zombie) hupwatch gives circular advice"
test("a hupwatch that is a zombie, since its starter does not wait for it, is gone", async () => {
  using place = home();
  const words = ["--name", "shop", "--ready", "delay:0", "--", "sleep", "1000"];
  await using hupwatch = await startHupwatch(words, { env: place.env });
  await leave(hupwatch, "SIGKILL");
  // Its child ends at once, and it waits for none.
  const script =
    "import os, time\nchild = os.fork() or os._exit(0)\nprint(child, flush=True)\ntime.sleep(1000)";
  const parent = Bun.spawn([PYTHON, "-c", script], { stdout: "pipe" });
  try {
    const { value } = await parent.stdout.getReader().read();
    const zombie = Number(new TextDecoder().decode(value));
    await until(() => readProcess(zombie)?.state === "Z", { what: `process ${zombie} to be a zombie` });
    writeFileSync(`${place.path}/hupwatch/shop.lock`, `${zombie}\n`);
    expect((await cli(["status"], place)).stdout).toContain("serves on without hupwatch");
    expect(await cli(["stop", "shop"], place)).toEqual(STOPPED);
    await hupwatch.assertTreeGone();
  } finally {
    parent.kill("SIGKILL");
    await parent.exited;
  }
});
