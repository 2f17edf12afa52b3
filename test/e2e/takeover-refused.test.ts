/**
 * I7 for a user without rights on a kernel that refuses pidfd_getfd(2), as Ubuntu's and Docker's do: a TCP port is taken over
 * by listeners beside the survivors'. Real gunicorn under load of fresh connections: no failure, never two masters.
 */
import { afterAll, expect, test } from "bun:test";
import { chownSync } from "node:fs";
import { copyForAll, NOBODY } from "../harness/another-user.ts";
import { ENDS, type End } from "../harness/ends.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { highestGeneration } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite } from "../harness/site.ts";
import { record } from "../harness/table.ts";
import { CLEAN } from "../harness/tally.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";

const RATE = 300;

const copy = copyForAll();
afterAll(() => copy[Symbol.dispose]());

test.concurrent.each(Object.entries<End>(ENDS))(
  "I7: %s, and a start that gets no descriptor, three times in a row",
  async (how, end) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    if (process.getuid?.() === 0) chownSync(site.path, NOBODY.uid, NOBODY.gid);
    const bind = await bindFor("tcp", site);
    await using lives = new Lives(["-w", "0.5", "--", ...gunicorn(bind)], {
      cwd: site.current,
      launcher: `${copy.root}/fixtures/launchers/refused.py`,
      env: { ...copy.env, APP_BOOT_SECONDS: "0.5" },
    });
    let hupwatch = await lives.start();
    await using load = await startLoad({ target: bind, rate: RATE, afterFirstOk: true });
    await using slow = await startLoad({ target: bind, path: "/slow?ms=300", concurrency: 1 });
    let version = 1;
    for (let i = 0; i < 3; i++) {
      site.deploy(`${++version}`);
      await end(hupwatch, highestGeneration(lives.log) + 1);
      await load.more(50);
      site.deploy(`${++version}`);
      hupwatch = await lives.start();
      expect(hupwatch.log).toMatch(/took over generation \d+, which serves/);
      await load.version(`${version}`);
    }
    for (let i = 0; i < 3; i++) {
      site.deploy(`${++version}`);
      await hupwatch.swap(highestGeneration(lives.log) + 1);
      await load.version(`${version}`);
      await lives.assertAlone(hupwatch);
    }
    const [report, slowReport] = [await load.stop(), await slow.stop()];
    record(`${how}, pidfd_getfd refused (tcp)`, report, hupwatch.log, /took over/);
    expect(report).toMatchObject(CLEAN);
    expect(slowReport).toMatchObject(CLEAN);
    hupwatch.signal("SIGQUIT");
    await hupwatch.assertTreeGone();
  },
  TURN_TIMEOUT_MS,
);
