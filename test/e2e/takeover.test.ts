/**
 * I7: hupwatch's own death never stops the service, and the next start of the same command line takes over from what
 * lives on. Under load of fresh connections on real gunicorn: no failure, never two masters, nothing left behind.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { assertHealthy, servedBy, socketFiles } from "../harness/health.ts";
import type { Hupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { readProcess } from "../harness/processes.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";
import { record } from "../harness/table.ts";
import { CLEAN, type LoadReport } from "../harness/tally.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

/** Requests a second: several tests run at once, and none is to starve the others. */
const RATE = 300;

/** gunicorn's: a request that lasts is let to, also by a master that was asked to stop. */
const PATIENT = ["--timeout", "300", "--graceful-timeout", "300"];

/** Where a swap to generation `next` is, by the log line that tells. */
const PHASES: Record<string, (hupwatch: Hupwatch, next: number, lives: Lives) => Promise<unknown>> = {
  "before a HUP": async () => {},
  "at the HUP": async (hupwatch) => hupwatch.hup(),
  booting: async (hupwatch, next) => {
    hupwatch.hup();
    await hupwatch.until(LOG.started(next));
  },
  "at the flip": async (hupwatch, next, lives) => {
    hupwatch.hup();
    await lives.noted(servedBy(next));
  },
  warming: async (hupwatch, next) => {
    hupwatch.hup();
    await hupwatch.until(LOG.ready(next));
  },
  draining: async (hupwatch, next) => {
    hupwatch.hup();
    await hupwatch.until(LOG.retired(next - 1));
  },
  "after the swap": (hupwatch, next) => hupwatch.swap(next),
};

const matrix = Object.keys(PHASES).flatMap((phase) => TRANSPORTS.map((transport) => ({ phase, transport })));

describe("I7: kill -9 of hupwatch, then the same command line again, drops nothing", () => {
  test.concurrent.each(matrix)(
    "$phase ($transport)",
    async ({ phase, transport }) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      // A boot that lasts longer than it takes to see that it has begun.
      const start = { cwd: site.current, env: { APP_BOOT_SECONDS: "0.5" } };
      await using lives = new Lives(["-w", "0.5", "--", ...gunicorn(bind)], start);
      const first = await lives.start();
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      await using slow = await startLoad({ target: bind, path: "/slow?ms=300", concurrency: 1 });
      site.deploy("2");
      await PHASES[phase]?.(first, 2, lives);
      first.signal("SIGKILL");
      await first.exited;
      await load.more(50);

      site.deploy("3");
      const second = await lives.start();
      expect(second.log).toMatch(/took over generation \d+, which serves/);
      await load.version("3");
      await assertHealthy(lives, second, site.path, transport);
      const [report, slowReport] = [await load.stop(), await slow.stop()];
      record(`kill -9 of hupwatch, ${phase} (${transport})`, report, second.log, /took over/);
      expect(report).toMatchObject(CLEAN);
      expect(slowReport).toMatchObject(CLEAN);
      second.signal("SIGQUIT");
      await second.assertTreeGone();
      expect(socketFiles(site.path)).toEqual([]);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    "and again in every phase of the takeover itself (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      await using lives = new Lives(["-w", "0.5", "--", ...gunicorn(bind)], { cwd: site.current });
      let hupwatch = await lives.start();
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      for (const moment of [LOG.startedAny, LOG.readyAny, LOG.servesAny, LOG.goneAny]) {
        hupwatch.signal("SIGKILL");
        await hupwatch.exited;
        hupwatch = lives.spawn();
        await hupwatch.until(moment);
      }
      hupwatch.signal("SIGKILL");
      await hupwatch.exited;
      const last = await lives.start();
      await assertHealthy(lives, last, site.path, transport);
      const report = await load.stop();
      record(`kill -9 in each phase of a takeover, 5 times (${transport})`, report, last.log, /took over/);
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );
});

test.concurrent.each(TRANSPORTS)(
  "I7: kill -9 during the very first boot: the next start takes over what boots (%s)",
  async (transport) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    await using lives = new Lives(["-w", "0.2", "--", ...gunicorn(bind)], { cwd: site.current });
    const first = lives.spawn();
    await first.until(LOG.started(1));
    first.signal("SIGKILL");
    await first.exited;
    const second = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    await assertHealthy(lives, second, site.path, transport);
    const report = await load.stop();
    record(`kill -9 during the first boot (${transport})`, report, second.log, /took over/);
    expect(report).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

describe("I7: TERM leaves the service, and the next start takes it over", () => {
  test.concurrent.each(TRANSPORTS)(
    "%s",
    async (transport) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await bindFor(transport, site);
      await using lives = new Lives(["-w", "0.2", "--", ...gunicorn(bind)], { cwd: site.current });
      const first = await lives.start();
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      first.signal("SIGTERM");
      expect(await first.exited).toBe(0);
      const child = LOG.started(1).exec(first.log)?.[1];
      expect(first.log).toContain(
        `left generation 1 running (pid ${child}): the same command line takes it over, 'kill -TERM ${child}' stops it\n`,
      );
      await load.more(50);
      const second = await lives.start();
      await assertHealthy(lives, second, site.path, transport);
      const report = await load.stop();
      record(
        `TERM of hupwatch without -k, then a start (${transport})`,
        report,
        first.log,
        /left generation/,
      );
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );
});

test.concurrent.each(TRANSPORTS)(
  "I7: a shared listener is taken over, too, from the generation that serves (%s)",
  async (transport) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    const share = ["-w", "0.2", "--cutover", "share", "--drain-until-idle", "0"];
    await using lives = new Lives([...share, "--", ...gunicorn(bind)], { cwd: site.current });
    const first = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    first.hup();
    // Both are behind the public path, and the older one is on its way out.
    await first.until(LOG.retired(1));
    first.signal("SIGKILL");
    await first.exited;
    const second = await lives.start();
    await second.until(LOG.tookOver(2));
    await load.more(50);
    expect((await load.stop()).failures).toEqual({});
    second.signal("SIGQUIT");
    await second.assertTreeGone();
    expect(socketFiles(site.path)).toEqual([]);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "I7: kill -9 of hupwatch while the dead predecessor of a respawned generation is still swept",
  async () => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    const options = ["--on-crash", "respawn", "-w", "0.2"];
    await using lives = new Lives([...options, "--", ...gunicorn(bind)], { cwd: site.current });
    const first = await lives.start();
    const [, master] = LOG.started(1).exec(first.log) ?? [];
    process.kill(Number(master), "SIGKILL");
    await first.until(LOG.started(2));
    first.signal("SIGKILL");
    await first.exited;
    const second = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    await assertHealthy(lives, second, site.path, "unix");
    expect(await load.stop()).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

// Over TCP the tees keep the group together: else the kernel would move the serving listener into the place of the older
// of two draining generations when that one leaves, and nobody would be there to correct the selector.
test.concurrent.each(TRANSPORTS)(
  "I7: kill -9 of hupwatch while two generations drain: what is left of them takes no new client (%s)",
  async (transport) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    await using lives = new Lives(
      ["-v", "-w", "0.2", "--drain-until-idle", "0", "--", ...gunicorn(bind, { workers: 4 }), ...PATIENT],
      {
        cwd: site.current,
      },
    );
    const first = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    await using stack = new AsyncDisposableStack();
    const held: { mark: string; report: Promise<LoadReport> }[] = [];
    for (const next of [2, 3]) {
      const mark = `${site.path}/held-${next}`;
      const one = stack.use(await startLoad({ target: bind, path: `/held?mark=${mark}`, concurrency: 1 }));
      await until(() => existsSync(mark), { what: "a request that lasts" });
      held.push({ mark, report: one.stop() });
      first.hup();
      await first.until(new RegExp(`generation ${next - 1}: sent SIGTERM`));
    }
    expect(first.count(LOG.goneAny)).toBe(0);
    first.signal("SIGKILL");
    await first.exited;
    // A busy sync worker keeps its listener: the older one leaves the port first, while no hupwatch lives.
    for (const [i, { mark, report }] of held.entries()) {
      rmSync(mark);
      expect(await report).toMatchObject({ ...CLEAN, sent: 1 });
      const pid = Number(LOG.started(i + 1).exec(first.log)?.[1]);
      await until(() => (readProcess(pid)?.state ?? "Z") === "Z", { what: `the drain of ${pid}` });
    }
    await load.more(100);
    const second = await lives.start();
    await load.more(50);
    const report = await load.stop();
    record(`kill -9 of hupwatch while two generations drain (${transport})`, report, second.log, /took over/);
    expect(report).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);
