/** hupwatch as the first process of a container, as a child of one, and as a subreaper: without Docker, by unshare(1). */
import { describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { always, child, TINY } from "../harness/commands.ts";
import { type Hupwatch, LAUNCHER, spawnHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { type ProcessEntry, processTree } from "../harness/processes.ts";
import { record } from "../harness/table.ts";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

const UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"];
const canUnshare = Bun.spawnSync([...UNSHARE, "true"], { stdio: ["ignore", "ignore", "ignore"] }).success;

/** How hupwatch is started, as lines of a shell; `"$@"` are its own words. */
const PLACES = {
  "PID 1": `exec ${UNSHARE.join(" ")} '${LAUNCHER}' "$@"`,
  // The shell must not replace itself: its last command is not hupwatch.
  "a child of PID 1": `exec ${UNSHARE.join(" ")} sh -c '"$@"; exit $?' sh '${LAUNCHER}' "$@"`,
  "a subreaper": `exec '${LAUNCHER}' -k "$@"`,
};
type Place = keyof typeof PLACES;

function spawnIn(place: Place, dir: TempDir, ...args: string[]): Hupwatch {
  const launcher = `${dir.path}/start`;
  writeFileSync(launcher, `#!/bin/sh\n${PLACES[place]}\n`);
  chmodSync(launcher, 0o755);
  return spawnHupwatch(args, { launcher });
}

/** As the outside knows it. */
async function hupwatchItself(started: Hupwatch): Promise<ProcessEntry> {
  await started.until(LOG.serves(1));
  return await until(() => processTree(started.pid).find(({ command }) => /main\.ts cli/.test(command)), {
    what: "hupwatch in its namespace",
  });
}

const zombies = (started: Hupwatch) =>
  processTree(started.pid)
    .filter(({ state }) => state === "Z")
    .map(({ pid, ppid }) => `${pid} of ${ppid}`);

const places = (Object.keys(PLACES) as Place[]).map((place) => ({ place }));
const possible = places.filter(({ place }) => canUnshare || place === "a subreaper");
const impossible = places.filter((place) => !possible.includes(place));
if (impossible.length > 0)
  test.skip.each(impossible)("hupwatch as $place: unshare(1) may not make a PID namespace here", () => {});

describe.each(possible)("as $place", ({ place }) => {
  test.concurrent(
    "the command's exit code is hupwatch's",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      await using started = spawnIn(place, dir, "--", "sh", "-c", "exit 7");
      expect(await started.exited).toBe(7);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "swaps drop nothing, and TERM stops all of it gracefully",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = `unix:${dir.path}/s`;
      await using started = spawnIn(place, dir, "-w", "0.2", "-b", bind, "--", ...always(TINY));
      const { pid } = await hupwatchItself(started);
      await using load = await startLoad({ target: bind, rate: 200, afterFirstOk: true });
      for (const next of [2, 3]) {
        process.kill(pid, "SIGHUP");
        await started.until(LOG.gone(next - 1));
        await load.more(20);
      }
      const report = await load.stop();
      record(`two swaps as ${place}`, report, started.log, /generation 3 serves/);
      expect(report).toMatchObject({ failures: {} });
      process.kill(pid, "SIGTERM");
      expect(await started.exited).toBe(0);
      expect(started.log).toContain("stopping generation 3");
      expect(started.log).not.toContain("SIGKILL");
      await started.assertTreeGone();
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "strangers that end are reaped, and the runtime's own children are not taken from it",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const command = always(child("leaks-zombies.ts", 50));
      await using started = spawnIn(place, dir, "-w", "0", "--ready", "line:ready", "--", ...command);
      const { pid } = await hupwatchItself(started);
      for (const next of [2, 3]) {
        process.kill(pid, "SIGHUP");
        await started.until(LOG.gone(next - 1));
      }
      await until(
        () => !processTree(started.pid).some(({ command }) => /^(sh -c \(sleep|sleep)/.test(command)),
        {
          what: "all leftover processes to have ended",
        },
      );
      await until(() => zombies(started).length === 0, {
        what: "no zombie to be left",
        context: () => zombies(started).join("\n"),
      });
      process.kill(pid, "SIGTERM");
      expect(await started.exited).toBe(0);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "I6: a daemon that left its generation's tree goes with its generation",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const command = always(child("double-forks.ts"));
      await using started = spawnIn(place, dir, "-w", "0", "--ready", "line:ready", "--", ...command);
      const { pid } = await hupwatchItself(started);
      const daemons = () => processTree(started.pid).filter(({ command }) => command === "sleep 1000");
      const [daemon] = await until(() => daemons().length === 1 && daemons(), { what: "the daemon" });
      process.kill(pid, "SIGHUP");
      await started.until(LOG.gone(1));
      expect(daemons().map((entry) => entry.pid)).not.toContain(daemon?.pid);
      await until(() => daemons().length === 1, { what: "the next one's daemon alone" });
      process.kill(pid, "SIGTERM");
      expect(await started.exited).toBe(0);
      await started.assertTreeGone();
    },
    TURN_TIMEOUT_MS,
  );
});
