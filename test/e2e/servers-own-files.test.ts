/** Files that two copies of gunicorn would fight over: each generation has its own, and swaps go through. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { gunicornSite } from "../harness/site.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS } from "../setup/places.ts";

const CONFIG = `
bind = "unix:app.sock"
pidfile = "g.pid"
`;

test.each(Object.keys(GUNICORNS) as (keyof typeof GUNICORNS)[])(
  "the pid file of a config file (gunicorn of %s)",
  async (which) => {
    using site = gunicornSite();
    writeFileSync(`${site.current}/gunicorn.conf.py`, CONFIG);
    const words = ["-k", "-w", "0.2", "--", GUNICORNS[which], "wsgi:application"];
    await using hupwatch = await startHupwatch(words, { cwd: site.current });
    for (const generation of [1, 2, 3]) {
      if (generation > 1) await hupwatch.swap(generation);
      const [, pid = ""] = await hupwatch.until(LOG.started(generation));
      expect(readFileSync(`${site.current}/g.pid.${generation}`, "utf8").trim()).toBe(pid);
      // A reader of the requested file finds the one process that stays.
      expect(readFileSync(`${site.current}/g.pid`, "utf8").trim()).toBe(`${hupwatch.pid}`);
    }
    const pidfiles = () =>
      readdirSync(site.current)
        .filter((name) => name.startsWith("g.pid"))
        .sort();
    expect(pidfiles()).toEqual(["g.pid", "g.pid.3"]);
    hupwatch.signal("SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    expect(pidfiles()).toEqual([]);
  },
  120_000,
);

test("the pid file of a killed master is not in the way to a later one, and does not stay", async () => {
  using site = gunicornSite();
  const words = ["--on-crash", "respawn", "--", GUNICORNS.debian, "wsgi:application"];
  const more = ["-b", `unix:${site.path}/app.sock`, "-p", `${site.path}/g.pid`];
  const pidfiles = () => readdirSync(site.path).filter((name) => name.startsWith("g.pid"));
  // That pid is a stranger's by now.
  await using stranger = Bun.spawn(["sleep", "300"]);
  writeFileSync(`${site.path}/g.pid.2`, `${stranger.pid}\n`);
  await using hupwatch = await startHupwatch([...words, ...more], { cwd: site.current });
  await hupwatch.swap(2);
  await hupwatch.until(LOG.gone(1));
  const [, master] = await hupwatch.until(LOG.started(2));
  process.kill(Number(master), "SIGKILL");
  await hupwatch.until(LOG.gone(2));
  await hupwatch.until(LOG.serves(3));
  expect(pidfiles().sort()).toEqual(["g.pid", "g.pid.3"]);
  hupwatch.signal("SIGQUIT");
  await hupwatch.exited;
  expect(pidfiles()).toEqual([]);
}, 120_000);

test("the control socket of the newest gunicorn: left out, or with the generation's number where it is wanted", async () => {
  using site = gunicornSite();
  const run = async (...more: string[]) => {
    const words = [
      "-k",
      "-w",
      "0.2",
      "--",
      GUNICORNS.pypi,
      "wsgi:application",
      "-b",
      "unix:app.sock",
      ...more,
    ];
    const home = { HOME: site.current, XDG_RUNTIME_DIR: site.current };
    return startHupwatch(words, { cwd: site.current, env: home });
  };
  {
    await using hupwatch = await run();
    await hupwatch.swap(2);
    expect(readdirSync(site.current).filter((name) => /ctl|\.gunicorn/.test(name))).toEqual([]);
  }
  await using hupwatch = await run("--control-socket", `${site.current}/g.ctl`);
  for (const generation of [1, 2]) {
    if (generation > 1) await hupwatch.swap(generation);
    await until(() => existsSync(`${site.current}/g.ctl.${generation}`), { what: `g.ctl.${generation}` });
  }
  expect(readdirSync(site.current).filter((name) => name.startsWith("g.ctl"))).toEqual(["g.ctl.2"]);
}, 120_000);

const UWSGI = "/usr/bin/uwsgi";
test.skipIf(!existsSync(UWSGI))(
  "a uWSGI whose ini binds by itself is held all the same, and ends when it is asked to (needs uWSGI)",
  async () => {
    using site = gunicornSite();
    const port = await freePort();
    const config = `[uwsgi]\nplugin = python3\nwsgi-file = wsgi.py\nhttp-socket = 127.0.0.1:${port}\n`;
    writeFileSync(`${site.current}/app.ini`, config);
    await using hupwatch = await startHupwatch(["-k", "--", UWSGI, "app.ini"], { cwd: site.current });
    expect(hupwatch.log).toContain(`holding 127.0.0.1:${port} (steered)`);
    // A worker that was only just forked misses the master's HUP, and ends by uWSGI's mercy after a minute.
    await using load = await startLoad({ target: `127.0.0.1:${port}`, concurrency: 1, afterFirstOk: true });
    await load.stop();
    hupwatch.signal("SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    expect(hupwatch.log).not.toContain("SIGKILL");
    expect(hupwatch.log).not.toContain("respawn");
  },
  120_000,
);
