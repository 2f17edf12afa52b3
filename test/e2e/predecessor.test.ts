/** I7 where the command line changed between two lives: another release directory, other options, one address. */
import { expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { cli, home } from "../harness/cli.ts";
import { spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, deployTo, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";

const TIMEOUT_MS = 120_000;
const RENAMED = /the service of hupwatch '(\S+)' is '(\S+)' from now on/;

test.each(TRANSPORTS)(
  "a start with another command, in another directory, takes over by the address (%s)",
  async (transport) => {
    using dir = tempDir();
    using place = home();
    for (const version of ["1", "2", "3"]) deployTo(`${dir.path}/${version}`, version);
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    const options = ["-w", "0.2", "--"];
    const cwd = (version: string) => ({ cwd: `${dir.path}/${version}`, env: place.env });
    await using first = new Lives([...options, ...gunicorn(bind)], cwd("1"));
    await using second = new Lives([...options, ...gunicorn(bind, { workers: 3 })], cwd("2"));
    await using third = new Lives([...options, ...gunicorn(bind, { workers: 3 })], cwd("3"));

    const left = await first.start();
    await using load = await startLoad({ target: bind, rate: 100, afterFirstOk: true });
    left.signal("SIGTERM");
    await left.exited;
    await load.more(20);

    const successor = await second.start();
    expect(RENAMED.exec(successor.log)?.slice(1)).toEqual([
      expect.stringContaining("1-gunicorn"),
      expect.stringContaining("2-gunicorn"),
    ]);
    expect(successor.log).toMatch(LOG.tookOver(1));
    await load.version("2");
    await first.assertAlone(successor);
    // The earlier name is gone, with its files.
    const { stdout } = await cli(["status", "--run-dir", `${place.path}/hupwatch`, "--json"], place);
    expect(JSON.parse(stdout)).toMatchObject([{ name: expect.stringContaining("2-gunicorn") }]);
    const filesOf = (release: string) =>
      readdirSync(`${place.path}/hupwatch`).filter((name) => name.startsWith(`${release}-`));
    expect(filesOf("1")).toEqual([]);

    successor.signal("SIGKILL");
    await successor.exited;
    expect(filesOf("2")).toContainEqual(expect.stringMatching(/\.sock$/));
    const last = await third.start();
    expect(filesOf("2")).toEqual([]);
    await load.version("3");
    await second.assertAlone(last);
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
    last.signal("SIGQUIT");
    await last.assertTreeGone();
  },
  TIMEOUT_MS,
);

test(
  "by the address also where the start has another run directory of this user: a supervisor's, and a login's",
  async () => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    const words = ["-w", "0.2", "--", ...gunicorn(bind)];
    const without = { cwd: site.current, env: { XDG_RUNTIME_DIR: undefined } };
    await using supervised = await startHupwatch(words, without);
    await using load = await startLoad({ target: bind, rate: 100, afterFirstOk: true });
    supervised.signal("SIGTERM");
    await supervised.exited;
    await using login = spawnHupwatch(["-k", ...words], { cwd: site.current, env: place.env });
    await login.until(LOG.tookOver(1));
    await login.until(LOG.gone(1));
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
  },
  TIMEOUT_MS,
);

test(
  "when its run directory was removed, as logind does at a logout: told to it, and still never two masters",
  async () => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    const start = { cwd: site.current, env: place.env };
    const words = ["-w", "0.2", "--name", "shop", "--", ...gunicorn(bind)];
    await using first = await startHupwatch(words, start);
    rmSync(`${place.path}/hupwatch`, { recursive: true });
    await first.swap(2);
    const refused = await cli(words, place, site.current);
    expect(refused).toMatchObject({
      exitCode: 125,
      stderr: expect.stringContaining("is already running as process"),
    });
    first.signal("SIGTERM");
    await first.exited;
    await using second = spawnHupwatch(["-k", ...words], start);
    await second.until(LOG.tookOver(2));
    await second.until(LOG.gone(2));
  },
  TIMEOUT_MS,
);

test(
  "never from a hupwatch that lives",
  async () => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    await using first = await startHupwatch(["-k", "--", ...gunicorn(bind)], {
      cwd: site.current,
      env: place.env,
    });
    const refused = await cli(["--", ...gunicorn(bind, { workers: 3 })], place, site.current);
    expect(refused).toMatchObject({ exitCode: 125, stderr: expect.stringContaining("listens on it") });
    expect(first.log).not.toMatch(LOG.gone(1));
    expect(first.alive).toBe(true);
  },
  TIMEOUT_MS,
);
