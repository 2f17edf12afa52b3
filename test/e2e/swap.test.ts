/** Swaps that go wrong, come in bursts, move to another release or carry two sockets: with real gunicorn, under load. */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { sameStock, takeStock } from "../harness/leftovers.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import {
  allImported,
  bindFor,
  deployTo,
  GIVES_UP_SOON,
  gunicorn,
  gunicornSite,
  switchTo,
  TRANSPORTS,
} from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const TIMEOUT_MS = 120_000;
const clean = { failures: {}, wentBack: 0 };

test.each(TRANSPORTS)(
  "I8: a release that fails to start is rolled back and no client notices (%s)",
  async (transport) => {
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    const command = [...gunicorn(bind), ...GIVES_UP_SOON];
    await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...command], { cwd: site.current });
    await using load = await startLoad({ target: bind, versions: ["1", "3"] });

    site.deployBroken();
    for (const failures of [1, 2]) {
      hupwatch.hup();
      await until(() => hupwatch.count(LOG.rolledBack) === failures, {
        what: "the rollback",
        context: () => hupwatch.log,
      });
    }
    await load.more(200);

    site.deploy("3");
    hupwatch.hup();
    await load.version("3");
    await until(() => hupwatch.count(LOG.gone(1)) === 1, {
      what: "generation 1 to go",
      context: () => hupwatch.log,
    });
    expect(await load.stop()).toMatchObject({ ...clean, lastVersion: "3" });
  },
  TIMEOUT_MS,
);

test(
  "I4: HUPs during a swap fold into exactly one more",
  async () => {
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...gunicorn(bind)], {
      cwd: site.current,
    });
    await using load = await startLoad({ target: bind });
    hupwatch.hup();
    await hupwatch.until(LOG.started(2));
    // From here on generation 2 may have read the old release: what is deployed now must be served all the same.
    site.deploy("2");
    // Without the harness's look through /proc before each: on a busy machine twenty of them outlast the swap.
    for (let burst = 0; burst < 20; burst++) process.kill(hupwatch.pid, "SIGHUP");
    await hupwatch.until(LOG.serves(3));
    await hupwatch.until(LOG.gone(2));
    await load.version("2");
    await load.more(50);
    expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "2" });
    expect(hupwatch.count(LOG.started(4))).toBe(0);
  },
  TIMEOUT_MS,
);

test(
  "a `current` symlink that was switched is followed: directory, code and executable",
  async () => {
    using dir = tempDir();
    const release = (name: string) => {
      const path = `${dir.path}/releases/${name}`;
      deployTo(path, name);
      // An executable of the release itself, as a virtualenv within it would have.
      writeFileSync(`${path}/server`, `#!/bin/sh\necho "server of ${name} in $(pwd -P)" >&2\nexec "$@"\n`);
      chmodSync(`${path}/server`, 0o755);
      switchTo(path, `${dir.path}/current`);
      return path;
    };
    release("one");
    const bind = `unix:${dir.path}/app.sock`;
    const command = ["-b", bind, "--", "./server", ...gunicorn(bind)];
    await using hupwatch = await startHupwatch(["-k", "-w", "0.2", ...command], {
      cwd: `${dir.path}/current`,
    });
    await using load = await startLoad({ target: bind });
    const two = release("two");
    await hupwatch.swap(2);
    await load.version("two");
    expect(hupwatch.log).toContain(`server of two in ${two}`);
    expect(await load.stop()).toMatchObject({ ...clean, lastVersion: "two" });
  },
  TIMEOUT_MS,
);

test(
  "I8: a worker that starts anew after `current` was switched runs the release of its generation",
  async () => {
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    await using hupwatch = await startHupwatch(["-k", "--", ...gunicorn(bind)], { cwd: site.current });
    await allImported(hupwatch, "1");
    // It exists, but nobody has asked for it yet.
    site.deployBroken();
    const [, worker] = /version 1 ready \(pid: (\d+)\)/.exec(hupwatch.log) ?? [];
    process.kill(Number(worker), "SIGTERM");
    await allImported(hupwatch, "1", 3);
    expect(hupwatch.alive).toBe(true);
  },
  TIMEOUT_MS,
);

test(
  "two sockets of one server are swapped together",
  async () => {
    using site = gunicornSite();
    const binds = [await bindFor("unix", site), await bindFor("tcp", site)] as const;
    await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...gunicorn([...binds])], {
      cwd: site.current,
    });
    await using unix = await startLoad({ target: binds[0], concurrency: 2 });
    await using tcp = await startLoad({ target: binds[1], concurrency: 2 });
    const loads = [unix, tcp];
    for (const version of [2, 3, 4]) {
      site.deploy(`${version}`);
      await hupwatch.swap(version);
      for (const load of loads) await load.version(`${version}`);
    }
    for (const load of loads) expect(await load.stop()).toMatchObject({ ...clean, lastVersion: "4" });
  },
  TIMEOUT_MS,
);

test(
  "the small server of fixtures/apps is swapped without a drop, and the stock stays the same",
  async () => {
    using dir = tempDir();
    const bind = `unix:${dir.path}/app.sock`;
    const server = [process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
    writeFileSync(`${dir.path}/env`, "APP_VERSION=1\n");
    const options = ["-k", "-w", "0.2", "--env-file", `${dir.path}/env`, "-b", bind];
    await using hupwatch = await startHupwatch([...options, "--", ...server], { cwd: dir.path });
    await using load = await startLoad({ target: bind, versions: ["1", "2", "3", "4"] });
    const before = await takeStock(hupwatch, dir.path);
    for (const version of [2, 3, 4]) {
      writeFileSync(`${dir.path}/env`, `APP_VERSION=${version}\n`);
      await hupwatch.swap(version);
      await load.version(`${version}`);
    }
    expect(await load.stop()).toMatchObject({ ...clean, lastVersion: "4" });
    await sameStock(hupwatch, dir.path, before);
  },
  TIMEOUT_MS,
);
