/**
 * I7: hupwatch's own death never stops the service, and the next start of the same command line takes over from what
 * lives on. Under load of fresh connections on real gunicorn: no failure, never two masters, nothing left behind.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, linkSync, readdirSync, renameSync, rmSync } from "node:fs";
import { attachReuseportSelector, close } from "../../src/os/libc.ts";
import type { RecordedState } from "../../src/swap/state-file.ts";
import { takeListener } from "../../src/swap/survivors.ts";
import { always, child } from "../harness/commands.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { type Load, startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { readProcess } from "../harness/processes.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS, type Transport } from "../harness/site.ts";
import { record } from "../harness/table.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { freePort, tempDir, until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

/** Requests a second: several tests run at once, and none is to starve the others. */
const RATE = 300;
const CLEAN = { failures: {}, examples: [], failed: 0, wentBack: 0 };
/** The master and two workers, and hupwatch, which has their words in its own. */
const PROCESSES = 4;

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
    await lives.noted(serving(next));
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

const socketFiles = (path: string) => readdirSync(path).filter((name) => name.includes("sock"));

/** The public path and the serving generation's own name; over TCP nothing. */
const filesOf = (transport: Transport) => (transport === "unix" ? 2 : 0);

const highest = (log: string) =>
  Math.max(...[...log.matchAll(/generation (\d+) (?:serves|started)/g)].map(([, number]) => Number(number)));

/** One generation and no more, and it can be swapped. */
async function assertHealthy(lives: Lives, hupwatch: Hupwatch, path: string, transport: Transport) {
  const next = highest(hupwatch.log) + 1;
  await hupwatch.swap(next);
  await lives.assertAlone(hupwatch);
  const own = () =>
    hupwatch
      .tree()
      .filter(({ command }) => command.includes("gunicorn wsgi"))
      .map(({ pid, ppid, state, command }) => `${pid} ${ppid} ${state} ${command}`);
  await until(() => own().length === PROCESSES, {
    what: "one generation and no more",
    context: () => `${own().join("\n")}\n${lives.log}`,
  });
  expect(socketFiles(path)).toHaveLength(filesOf(transport));
}

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

/** What a kill -9 at the flip may leave: whom the state file names, and whom clients reach. */
const DISAGREEMENTS: Record<string, { noted: number; reached: number }> = {
  "the note says the old one, clients reach the new one": { noted: 1, reached: 2 },
  "the note says the new one, clients reach the old one": { noted: 2, reached: 1 },
};

/** Swaps to generation 2, and kills hupwatch while both serve. */
async function killInWarmUp(lives: Lives, hupwatch: Hupwatch): Promise<void> {
  hupwatch.hup();
  await lives.noted(serving(2));
  hupwatch.signal("SIGKILL");
  await hupwatch.exited;
}

const serving =
  (number: number) =>
  ({ generations }: RecordedState): boolean =>
    generations.some((g) => g.number === number && g.role === "serving");

/** What hupwatch does itself at a flip. */
function flipTo(lives: Lives, number: number, bind: string): void {
  const generation = lives.state().generations.find((g) => g.number === number);
  const listener = generation?.listeners.find(({ address }) => address === bind);
  if (!generation || !listener) throw new Error(`generation ${number} has no listener of ${bind}`);
  const { privatePath, inode, group = [] } = listener;
  if (privatePath) {
    const link = `${privatePath}~`;
    linkSync(privatePath, link);
    renameSync(link, bind.slice("unix:".length));
    rmSync(link, { force: true }); // rename(2) between two names of one inode does nothing
    return;
  }
  const fd = takeListener(generation, inode);
  if (fd === undefined) throw new Error(`the kernel does not hand out the listener of generation ${number}`);
  attachReuseportSelector(fd, [[0x06, 0, 0, group.indexOf(inode)]]);
  close(fd);
}

const disagreements = Object.keys(DISAGREEMENTS).flatMap((what) =>
  TRANSPORTS.map((transport) => ({ what, transport })),
);

test.concurrent.each(disagreements)(
  "I7: kill -9 between the flip and the note of it: $what ($transport)",
  async ({ what, transport }) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    const command = ["--", ...gunicorn(bind)];
    await using lives = new Lives(["-w", "0.2", ...command], { cwd: site.current });
    const first = await lives.start(["-w", "60", ...command]);
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    // A slow one holds its connection beyond the start of the next hupwatch.
    await using slow = await startLoad({ target: bind, path: "/slow?ms=300", concurrency: 1 });
    await killInWarmUp(lives, first);
    const { noted = 0, reached = 0 } = DISAGREEMENTS[what] ?? {};
    flipTo(lives, reached, bind);
    lives.state(({ generations }) => {
      for (const g of generations)
        g.role = g.number === noted ? "serving" : noted === 1 ? "starting" : "retiring";
    });
    await load.more(50);

    site.deploy("2");
    const second = await lives.start();
    await load.version("2");
    await assertHealthy(lives, second, site.path, transport);
    const [report, slowReport] = [await load.stop(), await slow.stop()];
    record(`kill -9 at the flip: ${what} (${transport})`, report, second.log, /took over/);
    expect(report).toMatchObject(CLEAN);
    expect(slowReport).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "I7: kill -9 between the flips of two addresses",
  async () => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const binds = ["one", "two"].map((name) => `unix:${site.path}/${name}.sock`);
    const command = ["--", ...gunicorn(binds)];
    await using lives = new Lives(["-w", "0.2", ...command], { cwd: site.current });
    const first = await lives.start(["-w", "60", ...command]);
    await using loads = new AsyncDisposableStack();
    const running: Load[] = [];
    for (const target of binds)
      running.push(loads.use(await startLoad({ target, rate: RATE, afterFirstOk: true })));
    await killInWarmUp(lives, first);
    for (const [i, bind] of binds.entries()) flipTo(lives, 2 - i, bind);
    for (const load of running) await load.more(50);

    site.deploy("2");
    const second = await lives.start();
    for (const load of running) await load.version("2");
    await lives.assertAlone(second);
    for (const load of running) expect(await load.stop()).toMatchObject(CLEAN);
    // The last process of a generation ends before hupwatch has seen it and removed its names.
    await until(() => socketFiles(site.path).length === 2 * filesOf("unix"), {
      what: "the names of earlier generations to be removed",
      context: () => `${socketFiles(site.path)}\n${lives.log}`,
    });
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "an address that has left the command line before a takeover is let go of, and another's is left alone",
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
    await second.until(LOG.gone(1));
    await until(() => !existsSync(dropped.slice("unix:".length)), { what: "the path to be removed" });
    expect(existsSync(stranger.unix)).toBe(true);
    rmSync(stranger.unix, { force: true });
    await assertHealthy(lives, second, site.path, "unix");
    expect(await load.stop()).toMatchObject(CLEAN);
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
      expect(second.log).toContain(`runs already as process ${first.pid}`);
      expect(second.tree()).toEqual([]);
      expect(socketFiles(site.path)).toEqual(before);
      await assertHealthy(lives, first, site.path, "unix");
      const report = await load.stop();
      record("a second start while the first lives", report, second.log, /runs already/);
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    "survivors noted in another run directory: fails, says who has the address, harms nothing (%s)",
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
      const stranger = lives.spawn(["--run-dir", `${site.path}/run`, ...command]);
      expect(await stranger.exited).toBe(125);
      expect(stranger.log).toMatch(/cannot bind/);
      expect(stranger.log).toContain("To fix:");
      if (transport === "unix") expect(stranger.log).toContain("it serves for hupwatch");
      await load.more(50);
      const second = await lives.start();
      await assertHealthy(lives, second, site.path, transport);
      const report = await load.stop();
      record(`a start that does not know the survivors (${transport})`, report, stranger.log, /cannot bind/);
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
  ["a tree of three levels, and one who has left it", child("three-levels.ts"), 4],
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
    await hupwatch.assertTreeGone(20_000);
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

// Over TCP the relays keep the group together: else the kernel would move the serving listener into the place of the older
// of two draining generations when that one leaves, and nobody would be there to correct the selector.
test.concurrent.each(TRANSPORTS)(
  "I7: kill -9 of hupwatch while two generations drain: what is left of them takes no new client (%s)",
  async (transport) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    await using lives = new Lives(
      ["-v", "-w", "0.2", "--drain-until-idle", "0", "--", ...gunicorn(bind, { workers: 4 })],
      {
        cwd: site.current,
      },
    );
    const first = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    await using slow = new AsyncDisposableStack();
    // A busy sync worker keeps its listener: the older one leaves the port first, while no hupwatch lives.
    for (const next of [2, 3]) {
      const options = { target: bind, path: `/slow?ms=${next * 5000}`, concurrency: 1 };
      slow.use(await startLoad(options));
      await load.more(100);
      first.hup();
      await first.until(new RegExp(`generation ${next - 1}: sent SIGTERM`));
    }
    expect(first.count(LOG.goneAny)).toBe(0);
    first.signal("SIGKILL");
    await first.exited;
    const pids = [1, 2].map((gen) => Number(LOG.started(gen).exec(first.log)?.[1]));
    for (const pid of pids)
      await until(() => (readProcess(pid)?.state ?? "Z") === "Z", {
        what: `the drain of ${pid}`,
        timeoutMs: 60_000,
      });
    await load.more(100);
    const second = await lives.start();
    await load.more(50);
    const report = await load.stop();
    record(`kill -9 of hupwatch while two generations drain (${transport})`, report, second.log, /took over/);
    expect(report).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);
