/** I7: what a start finds besides its own survivors: a living hupwatch, a stranger's socket, an address that nobody wants now. */
import { describe, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { home } from "../harness/cli.ts";
import { always, TINY } from "../harness/commands.ts";
import { assertHealthy, socketFiles } from "../harness/health.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";
import { record } from "../harness/table.ts";
import { CLEAN } from "../harness/tally.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

/** Requests a second: several tests run at once, and none is to starve the others. */
const RATE = 300;

test.concurrent(
  "an address that has left the command line before a takeover is released, and another service's is left alone",
  async () => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const [kept = "", dropped = "", lost = ""] = ["kept", "dropped", "lost"].map(
      (name) => `unix:${site.path}/${name}.sock`,
    );
    const options = ["--name", "app", "-w", "0.2", "--"];
    await using lives = new Lives([...options, ...gunicorn(kept)], { cwd: site.current });
    const first = await lives.start([...options, ...gunicorn([kept, dropped, lost])]);
    await using load = await startLoad({ target: kept, rate: RATE, afterFirstOk: true });
    first.signal("SIGKILL");
    await first.exited;
    const taken = lost.slice("unix:".length);
    rmSync(taken);
    using stranger = Bun.listen({ unix: taken, socket: { data() {} } });
    await load.more(50);
    const second = await lives.start();
    expect(second.log).toContain(
      `no longer in the command line: ${dropped}, ${lost}; released with generation 1\n`,
    );
    await second.until(LOG.gone(1));
    await until(() => !existsSync(dropped.slice("unix:".length)), { what: "the path to be removed" });
    expect(existsSync(stranger.unix)).toBe(true);
    rmSync(stranger.unix, { force: true });
    await assertHealthy(lives, second, site.path, "unix");
    expect(await load.stop()).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "an address that has joined the command line is served by the successor of a survivor, too",
  async () => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const binds = ["known", "new"].map((name) => `unix:${site.path}/${name}.sock`);
    const options = ["--name", "app", "--on-crash", "respawn", "-w", "0.2", "--"];
    // A boot that lasts longer than it takes to see that it has begun.
    const start = { cwd: site.current, env: { APP_BOOT_SECONDS: "0.5" } };
    await using lives = new Lives([...options, ...gunicorn(binds)], start);
    const first = await lives.start([...options, ...gunicorn(binds.slice(0, 1))]);
    first.signal("SIGKILL");
    await first.exited;
    site.deploy("2");
    const second = lives.spawn();
    const killMaster = async (generation: number) => {
      const [, pid] = await until(() => LOG.started(generation).exec(lives.log), { what: "its start" });
      process.kill(Number(pid), "SIGKILL");
    };
    await killMaster(2);
    await second.until(LOG.rolledBack);
    await killMaster(1);
    await second.until(LOG.serves(3));
    // Its workers share the listener until they are swept.
    await second.until(LOG.gone(1));
    for (const target of binds) {
      await using load = await startLoad({ target, rate: RATE, afterFirstOk: true });
      await load.more(50);
      expect(await load.stop()).toMatchObject({ ...CLEAN, lastVersion: "2" });
    }
    await lives.assertAlone(second);
  },
  TURN_TIMEOUT_MS,
);

// F20: "after swaps on a full run directory and kill -9, the next start cannot take over, and names a dead pid"
test.concurrent(
  "a generation that could not be recorded is found by its marks and its listener",
  async () => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    await using lives = new Lives(["-w", "0.2", "--", ...gunicorn(bind)], { cwd: site.current });
    const first = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    await lives.noted(({ generations }) => generations.some((g) => g.role === "serving" && g.pid > 0));
    const { last, generations } = lives.state();
    await first.swap(2);
    first.signal("SIGKILL");
    await first.exited;
    lives.state((state) => Object.assign(state, { last, generations }));
    const second = await lives.start();
    expect(second.log).toMatch(LOG.tookOver(2));
    await second.until(LOG.serves(3));
    await load.more(50);
    await assertHealthy(lives, second, site.path, "unix");
    expect(await load.stop()).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

describe("I7: a start that finds something alive:", () => {
  test.concurrent(
    "a living hupwatch: fails at once, names it and harms nothing",
    async () => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor("unix", site);
      await using lives = new Lives(["-w", "0.2", "--", ...gunicorn(bind)], { cwd: site.current });
      const first = await lives.start();
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      const before = socketFiles(site.path);
      const second = lives.spawn();
      expect(await second.exited).toBe(125);
      expect(second.log).toContain(`is already running as process ${first.pid}`);
      await second.assertTreeGone();
      expect(socketFiles(site.path)).toEqual(before);
      await assertHealthy(lives, first, site.path, "unix");
      const report = await load.stop();
      record("a second start while the first lives", report, second.log, /is already running/);
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    // https://github.com/gmuxapp/gmux/pull/359: /run/user/UID goes away at a logout.
    "survivors noted in another run directory: takes them over all the same (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      const command = ["-w", "0.2", "--", ...gunicorn(bind)];
      await using lives = new Lives(command, { cwd: site.current });
      const first = await lives.start();
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      first.signal("SIGKILL");
      await first.exited;
      const second = await lives.start(["--run-dir", `${site.path}/run`, ...command]);
      expect(second.log).toMatch(LOG.tookOver(1));
      await load.more(50);
      await assertHealthy(lives, second, site.path, transport);
      const report = await load.stop();
      record(`a start that does not know the survivors (${transport})`, report, second.log, LOG.tookOver(1));
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );
});

// Two services with a port of the kernel's choice have nothing to do with each other.
test("I7: a start with port 0 takes nothing over from another service with port 0", async () => {
  using place = home();
  const words = (name: string) => ["--name", name, "-b", "127.0.0.1:0", "--", ...always(TINY)];
  await using first = await startHupwatch(words("one"), { env: place.env });
  first.signal("SIGKILL");
  await first.exited;
  await using second = await startHupwatch(words("two"), { env: place.env });
  expect(second.log).not.toContain("is 'two' from now on");
  expect(second.log).not.toMatch(LOG.tookOver(1));
});
