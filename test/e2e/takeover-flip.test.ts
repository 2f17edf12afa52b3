/**
 * I7 where hupwatch is killed in the instant of a flip: what the state file says and what clients reach may differ then, and
 * of several addresses some may be flipped and others not. Made by hand, since no test hits that instant.
 */
import { expect, test } from "bun:test";
import { linkSync, renameSync, rmSync } from "node:fs";
import { takeListener } from "../../src/instance/take-listener.ts";
import { attachReuseportSelector, close } from "../../src/os/libc.ts";
import { realOs } from "../../src/os/os.ts";
import { allTo } from "../../src/sockets/selectors.ts";
import { assertHealthy, filesOf, servedBy, socketFiles } from "../harness/health.ts";
import type { Hupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { type Load, startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";
import { record } from "../harness/table.ts";
import { CLEAN } from "../harness/tally.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";

/** Requests a second: several tests run at once, and none is to starve the others. */
const RATE = 300;

/** What a kill -9 at the flip may leave: what the state file names, and what clients reach. */
const DISAGREEMENTS: Record<string, { noted: number; reached: number }> = {
  "the note says the old one, clients reach the new one": { noted: 1, reached: 2 },
  "the note says the new one, clients reach the old one": { noted: 2, reached: 1 },
};

/** Swaps to generation 2, and kills hupwatch while both serve. */
async function killInWarmUp(lives: Lives, hupwatch: Hupwatch): Promise<void> {
  hupwatch.hup();
  await lives.noted(servedBy(2));
  hupwatch.signal("SIGKILL");
  await hupwatch.exited;
}

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
  const fd = takeListener(generation, inode, realOs);
  if (fd === undefined) throw new Error(`the kernel does not hand out the listener of generation ${number}`);
  attachReuseportSelector(fd, allTo(group.indexOf(inode)));
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
    // "a takeover after a kill in a swap does not log the other generation"
    expect(second.log).toMatch(LOG.stoppedAnother);
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
