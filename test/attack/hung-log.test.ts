/**
 * Case 55: the reader of hupwatch's stderr hangs (Ctrl-S, a stopped log shipper, journald that is restarted). "while the reader
 * is stopped the server serves on, but: `no answer within 15 s`, rc 3; still gen 1; no deadline ends it: only CONT does".
 */
import { describe, expect, test } from "bun:test";
import { chownSync } from "node:fs";
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { asUser, copyForAll } from "../harness/another-user.ts";
import { cli, type Home, home } from "../harness/cli.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { killEntry, processTree } from "../harness/processes.ts";
import { until } from "../harness/until.ts";
import { PYTHON, ROOT } from "../setup/places.ts";
import { APP, hasPeople } from "./people.ts";

const OPTIONS = ["-k", "-w", "0", "--name", "hung", "--ready", "delay:0"];

/** What runs hupwatch: a launcher, and what comes before it. */
interface Runner {
  kind: string;
  words: string[];
  env: Record<string, string>;
}

const OWN = { words: [LAUNCHER], env: {} };

async function startHung({ kind, words, env }: Runner, place: Home) {
  const reader = Bun.spawn(
    [PYTHON, `${ROOT}/fixtures/launchers/hung_reader.py`, kind, ...words, ...OPTIONS, "--", "sleep", "1000"],
    { cwd: "/", env: { ...process.env, ...place.env, ...env, PWD: "/" }, stdio: ["pipe", "pipe", "inherit"] },
  );
  let said = "";
  const listening = (async () => {
    for await (const bytes of reader.stdout) said += Buffer.from(bytes).toString();
  })();
  const serving = async () => {
    const { stdout } = await cli(["status", socketOf(place), "--json"], place);
    const [status] = stdout === "" ? [] : (JSON.parse(stdout) as StatusAnswer[]);
    return status?.generations?.find(({ role }) => role === "serving")?.number;
  };
  await until(() => /pid \d+/.test(said), { what: "hupwatch's pid" });
  return {
    pid: Number(/pid (\d+)/.exec(said)?.[1]),
    serves: (generation: number) =>
      until(async () => (await serving()) === generation, {
        what: `generation ${generation} to serve`,
      }),
    /** And has everything that was kept for it: at its end hupwatch waits half a second for a reader, which may be busy. */
    readOn: async () => {
      reader.stdin.write("\n");
      reader.stdin.flush();
      await until(() => said.includes("generation 3 serves"), { what: "the lines to come" });
    },
    /** All that was read, when it has ended. */
    ended: async () => {
      await Promise.all([reader.exited, listening]);
      return said;
    },
    async [Symbol.asyncDispose]() {
      for (const entry of processTree(reader.pid)) killEntry(entry, "SIGKILL");
      await reader.exited;
    },
  };
}

const socketOf = (place: Home) => `${place.path}/hupwatch/hung.sock`;

async function swapsTwice(hung: Awaited<ReturnType<typeof startHung>>, place: Home): Promise<void> {
  await hung.serves(1);
  const reload = await cli(["reload", socketOf(place), "--timeout", "40s"], place);
  expect(reload).toMatchObject({ exitCode: 0, stderr: "" });
  process.kill(hung.pid, "SIGHUP");
  await hung.serves(3);
  await hung.readOn();
  process.kill(hung.pid, "SIGTERM");
  const log = await hung.ended();
  for (const line of [
    "generation 1 serves",
    "generation 3 serves, generation 2 retired",
    "generation 3 gone",
  ])
    expect(log.split(line).length - 1).toBe(1);
}

describe.each(["pipe", "socket", "terminal"])("a %s that nobody reads", (kind) => {
  test("I5: reload, HUP and status are answered, and the lines come when it is read again", async () => {
    using place = home();
    await using hung = await startHung({ kind, ...OWN }, place);
    await swapsTwice(hung, place);
  });

  test("I5: TERM ends everything in time", async () => {
    using place = home();
    await using hung = await startHung({ kind, ...OWN }, place);
    await hung.serves(1);
    const tree = processTree(hung.pid);
    process.kill(hung.pid, "SIGTERM");
    const isLeft = () => processTree(hung.pid).some(({ state }) => state !== "Z");
    await until(() => !isLeft(), { what: "hupwatch to end" });
    expect(tree.length).toBeGreaterThan(1);
  });
});

// A supervisor of root's made it, as supervisord does for a program with `user=`: it cannot be opened anew.
test.skipIf(!hasPeople)("I5: a pipe of another user's that nobody reads", async () => {
  using place = home();
  chownSync(place.path, APP.uid, APP.gid);
  using copy = copyForAll();
  const words = asUser(APP, [copy.launcher]);
  await using hung = await startHung({ kind: "pipe", words, env: copy.env }, place);
  await swapsTwice(hung, place);
});
