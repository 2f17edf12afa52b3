/** -k: the command never outlives hupwatch, however that ends. */
import { expect, test } from "bun:test";
import { always, child } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { socketFiles } from "../harness/health.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

test.concurrent.each(["unix", "tcp"])(
  "with -k, kill -9 of hupwatch ends the command by the kernel, and the next start is a fresh one (%s)",
  async (transport) => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const bind = transport === "unix" ? `unix:${dir.path}/app.sock` : `127.0.0.1:${await freePort()}`;
    const command = ["-k", "-w", "0.2", "-b", bind, "--", process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
    await using lives = new Lives(command, { cwd: dir.path });
    const first = await lives.start();
    first.signal("SIGKILL");
    await first.exited;
    await first.assertTreeGone();
    const second = await lives.start();
    expect(second.log).not.toContain("took over");
    expect(second.log).toMatch(LOG.started(1));
    second.signal("SIGTERM");
    expect(await second.exited).toBe(0);
    await second.assertTreeGone();
    expect(socketFiles(dir.path)).toEqual([]);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent.each([
  ["a tree of three levels, and one process that has left it", child("three-levels.ts"), 4],
  ["no tree", child("print-signals.ts"), 0],
])(
  "with -k, kill -9 of hupwatch in the middle of a swap ends both generations: %s",
  async (_, command, sleepers) => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const options = ["-k", "-w", "60", "-b", `unix:${dir.path}/app.sock`];
    await using hupwatch = await startHupwatch([...options, "--", ...always(command)]);
    hupwatch.hup();
    await hupwatch.until(LOG.ready(2));
    const asleep = () => hupwatch.tree().filter((entry) => /^sleep 100\d/.test(entry.command));
    await until(() => asleep().length === 2 * sleepers, {
      what: "both trees to stand",
      context: () => hupwatch.log,
    });
    hupwatch.signal("SIGKILL");
    await hupwatch.exited;
    await hupwatch.assertTreeGone();
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "with -k, nothing of hupwatch itself is left when it ends in order",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const options = ["-k", "-b", `unix:${dir.path}/app.sock`];
    await using hupwatch = await startHupwatch([...options, "--", ...always(child("three-levels.ts"))]);
    hupwatch.signal("SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    await hupwatch.assertTreeGone();
  },
  TURN_TIMEOUT_MS,
);
