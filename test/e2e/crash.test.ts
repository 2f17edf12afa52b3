/** The serving generation, or the one that is to replace it, dies by itself: what clients see, and how hupwatch ends. */
import { describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { always, child, firstThen, TINY } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import {
  bindFor as addressFor,
  allImported,
  GIVES_UP_SOON,
  gunicorn,
  gunicornSite,
} from "../harness/site.ts";
import { record } from "../harness/table.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";

const RATE = 300;
const CLEAN = { failures: {}, examples: [], failed: 0 };
/** From its first answer to its death: on a machine that does much else it is a while until hupwatch has read that answer. */
const SEEN_TO_SERVE_MS = 2000;
/** The check is then a request that the command answers; a mere connect would be no first answer. */
const ASKED = ["--ready", "http"];
const TRANSPORTS = ["unix", "tcp"] as const;

const bindFor = async (transport: string, directory: string) =>
  transport === "unix" ? `unix:${directory}/s` : `127.0.0.1:${await freePort()}`;

const pidOf = (hupwatch: Hupwatch, generation: number) =>
  Number(LOG.started(generation).exec(hupwatch.log)?.[1]);

const killGeneration = (hupwatch: Hupwatch, generation: number) =>
  process.kill(pidOf(hupwatch, generation), "SIGKILL");

describe("--on-crash exit: hupwatch ends as the serving generation did, and its path is gone at once:", () => {
  test.concurrent(
    "its code",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const command = always(child("dies-in-warm-up.ts", SEEN_TO_SERVE_MS, 5));
      await using hupwatch = await startHupwatch([...ASKED, "-b", `unix:${dir.path}/s`, "--", ...command]);
      expect(await hupwatch.exited).toBe(5);
      expect(hupwatch.log).toContain("generation 1 exited with code 5");
      expect(existsSync(`${dir.path}/s`)).toBe(false);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "128 + n",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      await using hupwatch = await startHupwatch([
        ...ASKED,
        "-b",
        `unix:${dir.path}/s`,
        "--",
        ...always(TINY),
      ]);
      killGeneration(hupwatch, 1);
      expect(await hupwatch.exited).toBe(137);
      expect(hupwatch.log).toContain("generation 1 was killed by SIGKILL");
      expect(existsSync(`${dir.path}/s`)).toBe(false);
      await hupwatch.assertTreeGone();
    },
    TURN_TIMEOUT_MS,
  );
});

// https://github.com/benoitc/gunicorn/issues/1785: "not a word that generation 1 was killed by SIGKILL".
test.concurrent(
  "the old one is killed in the warm-up: its successor serves, and that is said",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const options = ["-k", "-w", "30", "-b", `unix:${dir.path}/s`];
    await using hupwatch = await startHupwatch([...options, "--", ...always(TINY)]);
    hupwatch.hup();
    await hupwatch.until(/generation 2 ready/);
    killGeneration(hupwatch, 1);
    await hupwatch.until(LOG.retired(1));
    expect(hupwatch.log).toMatch(
      /warn: generation 1, which was being replaced, was killed by SIGKILL after .* \(out of memory\?\)/,
    );
  },
  TURN_TIMEOUT_MS,
);

describe("--on-crash respawn: clients wait for the successor in the dead one's queue", () => {
  test.concurrent.each(TRANSPORTS)(
    "and nobody is refused when nothing was accepted (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = await bindFor(transport, dir.path);
      const command = firstThen(child("stops-accepting.ts"), TINY);
      await using hupwatch = await startHupwatch([
        ...ASKED,
        "-k",
        "--on-crash",
        "respawn",
        "-b",
        bind,
        "--",
        ...command,
      ]);
      await using load = await startLoad({ target: bind, rate: RATE });
      await load.waiting(50);
      killGeneration(hupwatch, 1);
      await load.version("2");
      await load.more(100);
      const report = await load.stop();
      record(
        `--on-crash respawn: kill -9 with all clients queued (${transport})`,
        report,
        hupwatch.log,
        /takes its place/,
      );
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    "and kill -9 under load costs at most what was in flight, nobody is refused (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = await bindFor(transport, dir.path);
      const options = [...ASKED, "-k", "--on-crash", "respawn", "-b", bind];
      await using hupwatch = await startHupwatch([...options, "--", ...always(TINY)]);
      await using load = await startLoad({ target: bind, afterFirstOk: true, concurrency: 4 });
      for (const generation of [1, 2, 3]) {
        await load.more(200);
        killGeneration(hupwatch, generation);
        await hupwatch.until(LOG.serves(generation + 1));
      }
      await load.more(200);
      const report = await load.stop();
      record(
        `--on-crash respawn: kill -9 under load, 3 times, 4 requests in flight each (${transport})`,
        report,
        hupwatch.log,
        /takes its place/,
      );
      // Cut off, the connect and its acceptance included; never refused, never left waiting.
      const others = Object.keys(report.failures).filter((what) => !/ (ECONNRESET|EOF)$/.test(what));
      expect(others).toEqual([]);
      expect(report.failed).toBeLessThanOrEqual(3 * 4);
    },
    TURN_TIMEOUT_MS,
  );

  // gunicorn's sync workers look at their parent's pid only when nobody has come for a while (workers/sync.py).
  test.concurrent.each(TRANSPORTS)(
    "and the workers of a killed master answer them, but never the checks in the successor's place (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using site = gunicornSite();
      const bind = await addressFor(transport, site);
      const options = ["-k", "--on-crash", "respawn", "--respawn-limit", "2/60s"];
      await using hupwatch = await startHupwatch([...options, "--", ...gunicorn(bind), ...GIVES_UP_SOON], {
        cwd: site.current,
      });
      await allImported(hupwatch, "1");
      site.deploy("2");
      killGeneration(hupwatch, 1);
      await hupwatch.until(LOG.ready(2));
      expect(hupwatch.log).toMatch(LOG.gone(1));
      await allImported(hupwatch, "2");
      site.deploy("3");
      writeFileSync(`${site.current}/wsgi.py`, "import time\ntime.sleep(1)\nraise SystemExit(3)\n");
      killGeneration(hupwatch, 2);
      // As the one that served: the successor was never good.
      expect(await hupwatch.exited).toBe(137);
      expect(hupwatch.log).toMatch(LOG.started(3));
      expect(hupwatch.log).not.toMatch(LOG.ready(3));
      await hupwatch.assertTreeGone();
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent(
    "until the limit is reached: later each time, and then the exit code of what died last",
    async () => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const options = [
        ...ASKED,
        "--on-crash",
        "respawn",
        "--respawn-limit",
        "3/60s",
        "-b",
        `unix:${dir.path}/s`,
      ];
      const command = firstThen(child("dies-in-warm-up.ts", SEEN_TO_SERVE_MS, 5), child("dies-early.sh", 6));
      await using hupwatch = await startHupwatch([...options, "--", ...command]);
      expect(await hupwatch.exited).toBe(6);
      expect(hupwatch.log).toMatch(/generation 2 takes its place\n/);
      expect(hupwatch.log).toMatch(/generation 3 takes its place in 0\.10? s/);
      expect(hupwatch.log).toMatch(/generation 4 takes its place in 0\.20? s/);
      expect(hupwatch.log).not.toMatch(LOG.started(5));
      expect(existsSync(`${dir.path}/s`)).toBe(false);
      await hupwatch.assertTreeGone();
    },
    TURN_TIMEOUT_MS,
  );
});

describe("I3: a death in the middle of a swap, with nothing in flight, loses nothing:", () => {
  test.concurrent.each(TRANSPORTS)(
    "the serving generation while its successor boots (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = await bindFor(transport, dir.path);
      const command = firstThen(child("stops-accepting.ts"), `env APP_BOOT_SECONDS=1 ${TINY}`);
      await using hupwatch = await startHupwatch([...ASKED, "-k", "-w", "0.2", "-b", bind, "--", ...command]);
      await using load = await startLoad({ target: bind, rate: RATE });
      await load.waiting(50);
      hupwatch.hup();
      await hupwatch.until(LOG.started(2));
      killGeneration(hupwatch, 1);
      await load.version("2");
      await load.more(100);
      await hupwatch.until(LOG.gone(1));
      const report = await load.stop();
      record(
        `the serving generation dies while its successor boots (${transport})`,
        report,
        hupwatch.log,
        /generation 1 was killed/,
      );
      expect(report).toMatchObject(CLEAN);
      expect(hupwatch.count(LOG.serves(2))).toBe(1);
      await hupwatch.swap(3);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    "the old generation in the warm-up of its successor (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = await bindFor(transport, dir.path);
      const command = firstThen(child("print-signals.ts"), TINY);
      await using hupwatch = await startHupwatch([...ASKED, "-k", "-w", "100", "-b", bind, "--", ...command]);
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
      hupwatch.hup();
      await load.version("2");
      await load.more(100);
      killGeneration(hupwatch, 1);
      await hupwatch.until(LOG.gone(1));
      await load.more(100);
      const report = await load.stop();
      record(
        `the old generation dies in the warm-up of its successor (${transport})`,
        report,
        hupwatch.log,
        /generation 2 serves/,
      );
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );

  test.concurrent.each(TRANSPORTS)(
    "I8: the new generation in its warm-up, with every client in its queue and none accepted (%s)",
    async (transport) => {
      using _turn = await takeTurn();
      using dir = tempDir();
      const bind = await bindFor(transport, dir.path);
      const command = firstThen(TINY, child("stops-accepting.ts"));
      await using hupwatch = await startHupwatch([...ASKED, "-k", "-w", "100", "-b", bind, "--", ...command]);
      await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true, versions: ["1"] });
      hupwatch.hup();
      await hupwatch.until(LOG.ready(2));
      await load.waiting(50);
      killGeneration(hupwatch, 2);
      await hupwatch.until(LOG.gone(2));
      await hupwatch.until(/\d+ connections? waiting for generation 2 passed on/);
      await load.more(200);
      const report = await load.stop();
      record(
        `the new generation accepts no more and dies in its warm-up (${transport})`,
        report,
        hupwatch.log,
        /passed on/,
      );
      expect(report).toMatchObject(CLEAN);
    },
    TURN_TIMEOUT_MS,
  );
});

test.concurrent(
  "I3: the public path that a generation unlinks is put back within milliseconds, and said",
  async () => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const path = `${dir.path}/s`;
    const command = always(child("unlinks-socket.ts", path));
    await using hupwatch = await startHupwatch([
      ...ASKED,
      "-k",
      "-w",
      "0.2",
      "-b",
      `unix:${path}`,
      // Of an intercepted command an unlink does nothing.
      "--handover",
      "systemd",
      "--",
      ...command,
    ]);
    await hupwatch.until(/ready \(pid/, { stream: "output" });
    hupwatch.signal("SIGUSR2");
    const [, missedMs] = await hupwatch.until(/missed for ([\d.]+) ms/, { stream: "output" });
    await hupwatch.until(/something unlinked .*\/s: put back/);
    await using load = await startLoad({ target: `unix:${path}`, rate: RATE });
    await hupwatch.swap(2);
    await load.more(50);
    const report = await load.stop();
    record(`the path is unlinked: back after ${missedMs} ms; then a swap`, report, hupwatch.log, /put back/);
    expect(report).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent.each(TRANSPORTS)(
  "I3: a generation that shuts its listener down at its own exit does no harm (%s)",
  async (transport) => {
    using _turn = await takeTurn();
    using dir = tempDir();
    const bind = await bindFor(transport, dir.path);
    const command = always(child("closes-listener.ts"));
    await using hupwatch = await startHupwatch([...ASKED, "-k", "-w", "0.2", "-b", bind, "--", ...command]);
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    for (const next of [2, 3, 4]) {
      await hupwatch.swap(next);
      await load.more(100);
    }
    const report = await load.stop();
    record(
      `every generation shuts its listener down at its exit, 3 swaps (${transport})`,
      report,
      hupwatch.log,
      /generation 4 serves/,
    );
    expect(report).toMatchObject(CLEAN);
  },
  TURN_TIMEOUT_MS,
);

test.concurrent(
  "I1: a generation that sends READY=1 twice is ready once",
  async () => {
    using _turn = await takeTurn();
    const options = ["-k", "-w", "0", "--ready", "notify"];
    await using hupwatch = await startHupwatch([...options, "--", ...always(child("ready-twice.sh"))]);
    await hupwatch.swap(2);
    for (const generation of [1, 2]) expect(hupwatch.count(LOG.ready(generation))).toBe(1);
  },
  TURN_TIMEOUT_MS,
);
