/**
 * I3 for a gunicorn whose whole configuration is a file written for upgrades by USR2: an app imported before the fork, gevent,
 * a pid file, log files, and a pre_fork hook that ends the old master. The command is put behind hupwatch as it is.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { openDescriptors, processTree } from "../harness/processes.ts";
import { deployTo } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS, PYTHON } from "../setup/places.ts";

const TIMEOUT_MS = 120_000;
const PIDFILE = "pids/unicorn.pid";
const ACCESS = "logs/access.log";

const config = (port: number) => `
import multiprocessing
import os
import signal

here = os.getcwd()
bind = "0.0.0.0:${port}"
backlog = 2048
workers = multiprocessing.cpu_count() * 2 + 1
worker_class = "gevent"
worker_connections = 4098
max_requests = 4098
preload_app = True
daemon = False
umask = 0o002
timeout = 120
keepalive = 2
graceful_timeout = 30
pidfile = here + "/${PIDFILE}"
accesslog = here + "/${ACCESS}"
errorlog = here + "/logs/error.log"


def pre_fork(server, worker):
    try:
        with open(here + "/${PIDFILE}.oldbin") as file:
            old = int(file.read())
    except FileNotFoundError:
        return
    if old != server.pid:
        os.kill(old, signal.SIGQUIT)
`;

/** As the file computes them: of processors Python and Bun may have different opinions. */
const WORKERS = Number(
  Bun.spawnSync([
    PYTHON,
    "-c",
    "import multiprocessing as m; print(m.cpu_count() * 2 + 1)",
  ]).stdout.toString(),
);

/** Imports wait while a file tells them to, and so does a request: no test has to guess how long something takes. */
const APP = `
import os
import time
import wsgi


def app(environ, start_response):
    if environ["PATH_INFO"] == "/held":
        open("holding", "w").close()
        while os.path.exists("holding"):
            time.sleep(0.01)
        environ["PATH_INFO"] = "/version"
    return wsgi.application(environ, start_response)


while os.path.exists("hold-imports"):
    time.sleep(0.01)
`;

async function site() {
  const dir = tempDir();
  const port = await freePort("0.0.0.0");
  const { path } = dir;
  for (const name of ["logs", "pids"]) mkdirSync(`${path}/${name}`);
  writeFileSync(`${path}/gunicorn.py`, config(port));
  writeFileSync(`${path}/app.py`, APP);
  deployTo(path, "1");
  return {
    path,
    target: `127.0.0.1:${port}`,
    deploy: (version: number) => deployTo(path, `${version}`),
    read: (name: string) => readFileSync(`${path}/${name}`, "utf8"),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}
type Site = Awaited<ReturnType<typeof site>>;

interface Started {
  which?: keyof typeof GUNICORNS;
  warmUp?: string;
}

const start = (place: Site, { which = "pypi", warmUp = "0.2" }: Started = {}) =>
  startHupwatch(["-w", warmUp, "--", "gunicorn", "-c", "gunicorn.py", "app:app"], {
    cwd: place.path,
    env: { PATH: `${dirname(GUNICORNS[which])}:${process.env.PATH}` },
  });

/** The master of a generation. */
const masterOf = async (hupwatch: Hupwatch, generation: number): Promise<number> =>
  Number((await hupwatch.until(LOG.started(generation)))[1]);

/** A worker that is not set up yet would die of a signal; SIGABRT is the last handler it sets (workers/base.py init_signals). */
async function workersReady(master: number, workers: number): Promise<void> {
  const catches = (pid: number) => {
    try {
      const [, mask = "0"] = /SigCgt:\s*(\w+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
      return (BigInt(`0x${mask}`) >> 5n) & 1n;
    } catch {
      return 0n;
    }
  };
  const ready = () => processTree(master).filter(({ pid }) => pid !== master && catches(pid) === 1n);
  await until(() => ready().length === workers, { what: `${workers} workers of ${master} to be set up` });
}

describe("I3: a config file that was written for upgrades by USR2 runs unchanged", () => {
  test.each(Object.keys(GUNICORNS) as (keyof typeof GUNICORNS)[])(
    "swaps drop nothing, and the pid file leads to hupwatch (gunicorn of %s)",
    async (which) => {
      using place = await site();
      await using hupwatch = await start(place, { which });
      await using fresh = await startLoad({ target: place.target, afterFirstOk: true, rate: 150 });
      await using slow = await startLoad({ target: place.target, path: "/slow?ms=300", concurrency: 2 });
      for (const version of [2, 3]) {
        // One that is not set up yet would miss the TERM, and be killed only after graceful_timeout.
        await workersReady(await masterOf(hupwatch, version - 1), WORKERS);
        place.deploy(version);
        await hupwatch.swap(version);
        for (const load of [fresh, slow]) await load.version(`${version}`);
        expect(place.read(PIDFILE).trim()).toBe(`${hupwatch.pid}`);
        expect(place.read(`${PIDFILE}.${version}`).trim()).toBe(`${await masterOf(hupwatch, version)}`);
      }
      expect(readdirSync(`${place.path}/pids`).sort()).toEqual(["unicorn.pid", "unicorn.pid.3"]);
      for (const load of [fresh, slow])
        expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
      // Nobody met the hook's QUIT: every old master was asked to finish.
      expect(place.read("logs/error.log")).not.toContain("Handling signal: quit");

      // As the scripts that were written for gunicorn stop it.
      process.kill(Number(place.read(PIDFILE)), "SIGQUIT");
      await hupwatch.exited;
      await hupwatch.assertTreeGone();
      expect(readdirSync(`${place.path}/pids`)).not.toContain("unicorn.pid");
    },
    TIMEOUT_MS,
  );

  test(
    "a pid file that an upgrade left is told: the hook ends the process that has that pid now",
    async () => {
      using place = await site();
      const stranger = Bun.spawn(["sleep", "60"]);
      writeFileSync(`${place.path}/${PIDFILE}.oldbin`, `${stranger.pid}\n`);
      await using hupwatch = await start(place);
      expect(hupwatch.log).toContain(`${PIDFILE}.oldbin is left from an upgrade without hupwatch`);
      await stranger.exited;
      expect(stranger.signalCode).toBe("SIGQUIT");
    },
    TIMEOUT_MS,
  );
});

describe("USR1 opens the log files again", () => {
  const rotate = (place: Site, to: string) => {
    for (const name of ["access", "error"])
      renameSync(`${place.path}/logs/${name}.log`, `${place.path}/logs/${name}.${to}`);
  };
  /** Which log files the living processes of a master write to. */
  const written = (master: number) => {
    const names = processTree(master).flatMap(({ pid }) => openDescriptors(pid));
    return [
      ...new Set(names.filter((name) => name.includes("/logs/")).map((n) => n.replace(/.*\/logs\//, ""))),
    ].sort();
  };
  const writes = async (master: number, names: string[]) =>
    await until(() => `${written(master)}` === `${names}`, {
      what: `${master} to write to ${names}`,
      context: () => `${written(master)}`,
    });
  const NOW = ["access.log", "error.log"];
  const lines = (place: Site, name: string): string[] => place.read(`logs/${name}`).match(/GET \S+/g) ?? [];
  const versionAt = async ({ target }: Site) =>
    await (await fetch(`http://${target}/version`, { keepalive: false })).text();

  test(
    "of the serving generation; one that drains finishes in the file that was moved away",
    async () => {
      using place = await site();
      await using hupwatch = await start(place);
      const first = await masterOf(hupwatch, 1);
      await workersReady(first, WORKERS);
      rotate(place, "a");
      process.kill(Number(place.read(PIDFILE)), "SIGUSR1");
      await writes(first, NOW);

      await using held = await startLoad({ target: place.target, path: "/held", concurrency: 1 });
      await until(() => existsSync(`${place.path}/holding`), { what: "a request that lasts" });
      const report = held.stop();
      place.deploy(2);
      hupwatch.hup();
      await hupwatch.until(LOG.serves(2));
      const second = await masterOf(hupwatch, 2);
      await workersReady(second, WORKERS);
      rotate(place, "b");
      hupwatch.signal("SIGUSR1");
      await writes(second, NOW);
      expect(written(first)).toEqual(["access.b", "error.b"]);
      expect(await versionAt(place)).toBe("2");
      await until(() => lines(place, "access.log").length > 0, { what: "a line in the new file" });

      rmSync(`${place.path}/holding`);
      expect(await report).toMatchObject({ sent: 1, ok: 1, lastVersion: "1" });
      await hupwatch.until(LOG.gone(1));
      expect(lines(place, "access.b")).toContain("GET /held");
      expect(lines(place, "access.log")).toEqual(["GET /version"]);
    },
    TIMEOUT_MS,
  );

  test(
    "of one that boots, too, which has opened the file before it was moved away",
    async () => {
      using place = await site();
      // So long that all workers are set up when the signal reaches the new master.
      await using hupwatch = await start(place, { warmUp: "5" });
      await workersReady(await masterOf(hupwatch, 1), WORKERS);
      writeFileSync(`${place.path}/hold-imports`, "");
      hupwatch.hup();
      const second = await masterOf(hupwatch, 2);
      await writes(second, NOW);
      rotate(place, "a");
      hupwatch.signal("SIGUSR1");
      rmSync(`${place.path}/hold-imports`);
      await workersReady(second, WORKERS);
      expect(written(second)).toEqual(["access.a", "error.a"]);
      await hupwatch.until(LOG.serves(2));
      await writes(second, NOW);
      expect(await versionAt(place)).toBe("1");
      await until(() => lines(place, "access.log").includes("GET /version"), {
        what: "a line in the new file",
      });
      expect(hupwatch.log).not.toMatch(LOG.rolledBack);
    },
    TIMEOUT_MS,
  );
});
