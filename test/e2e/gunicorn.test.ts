/**
 * I3 with real gunicorn, the distribution's and the newest: swaps under load of fresh connections drop nothing, no
 * client sees an older version after a newer one, and after any number of swaps all is as it was after the start.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { sameStock, takeStock } from "../harness/leftovers.ts";
import { startLoad } from "../harness/load.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS, WORKERS } from "../harness/site.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { GUNICORNS } from "../setup/places.ts";

const LAST_VERSION = 5;
/** hupwatch, its guard (-k), the master, two workers, the tee of what they write on stderr. */
const PROCESSES = 6;

const whiches = Object.keys(GUNICORNS) as (keyof typeof GUNICORNS)[];
const matrix = whiches.flatMap((which) =>
  WORKERS.flatMap((worker) => TRANSPORTS.map((transport) => ({ which, worker, transport }))),
);

describe("I3: swaps under fresh connections drop nothing", () => {
  test.concurrent.each(matrix)(
    "gunicorn of $which, $worker workers, $transport",
    async ({ which, worker, transport }) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      const command = gunicorn(bind, { which, worker });
      await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...command], {
        cwd: site.current,
      });
      await using load = await startLoad({ target: bind, afterFirstOk: true });
      const swapTo = async (version: number) => {
        site.deploy(`${version}`);
        await hupwatch.swap(version);
        await load.version(`${version}`);
      };
      // The stock is taken after a swap: over TCP the first one adds a listener that every later one uses again.
      await swapTo(2);
      const before = await takeStock(hupwatch, site.path, PROCESSES);
      for (let version = 3; version <= LAST_VERSION; version++) await swapTo(version);
      await load.more(50);
      const report = await load.stop();
      expect(report).toMatchObject({ failures: {}, examples: [], failed: 0, wentBack: 0 });
      expect(report.lastVersion).toBe(`${LAST_VERSION}`);
      expect(Object.keys(report.versions)).toEqual(["1", "2", "3", "4", "5"]);
      await sameStock(hupwatch, site.path, before);

      hupwatch.signal("SIGTERM");
      expect(await hupwatch.exited).toBe(0);
      await hupwatch.assertTreeGone();
      expect(readdirSync(site.path).filter((name) => name.includes("sock"))).toEqual([]);
    },
    TURN_TIMEOUT_MS,
  );
});

describe("swaps under other loads", () => {
  test.concurrent.each([
    ["[::1]", "127.0.0.1"],
    ["[::]", "0.0.0.0"],
  ])(
    "over IPv6 and IPv4 on one port (%s and %s)",
    async (...hosts) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const port = await freePort();
      const command = gunicorn(hosts.map((host) => `${host}:${port}`));
      await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...command], {
        cwd: site.current,
      });
      await using v6 = await startLoad({ target: `[::1]:${port}`, afterFirstOk: true });
      await using v4 = await startLoad({ target: `127.0.0.1:${port}`, afterFirstOk: true });
      for (const version of [2, 3]) {
        site.deploy(`${version}`);
        await hupwatch.swap(version);
        for (const load of [v6, v4]) await load.version(`${version}`);
      }
      for (const load of [v6, v4])
        expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    "uploads and slow requests are answered whole (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      const command = gunicorn(bind, { worker: "gthread" });
      await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...command], {
        cwd: site.current,
      });
      await using uploads = await startLoad({ target: bind, mode: "post", concurrency: 2 });
      await using slow = await startLoad({ target: bind, path: "/slow?ms=300", concurrency: 3 });
      await using streams = await startLoad({ target: bind, path: "/stream?chunks=5&ms=50", concurrency: 2 });
      const loads = [uploads, slow, streams];
      for (const version of [2, 3, 4]) {
        site.deploy(`${version}`);
        await hupwatch.swap(version);
        for (const load of loads) await load.version(`${version}`);
      }
      for (const load of loads)
        expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "4" });
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "a kept connection is at worst closed instead of an answer, never within one",
    async () => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor("unix", site);
      const command = gunicorn(bind, { worker: "gthread" });
      await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", ...command], {
        cwd: site.current,
      });
      await using load = await startLoad({ target: bind, mode: "keep-alive", afterFirstOk: true });
      for (const version of [2, 3, 4]) {
        site.deploy(`${version}`);
        await hupwatch.swap(version);
        await load.version(`${version}`);
      }
      const report = await load.stop();
      const others = Object.keys(report.failures).filter((what) => !/^first-byte \w+ \(reused\)$/.test(what));
      expect(others).toEqual([]);
      expect(report).toMatchObject({ wentBack: 0, lastVersion: "4" });
    },
    TURN_TIMEOUT_MS,
  );
});
