/** Recycling with a real gunicorn under counting load: a touch, age and memory are swaps, and nothing is dropped. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite } from "../harness/site.ts";

test.each([
  ["a touch", ["--watch-path", "restart.txt"], /swapping: .*restart\.txt was touched/],
  ["age", ["--max-age", "1s"], /swapping: it has served for 1\.00 s/],
  ["memory", ["--max-memory", "1m"], /swapping: its processes have \d+ MB, more than 1 MB/],
] as const)(
  "%s",
  async (what, options, why) => {
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    await using hupwatch = await startHupwatch(["-k", "-w", "0", ...options, "--", ...gunicorn(bind)], {
      cwd: site.current,
    });
    await using load = await startLoad({ target: bind });
    if (what === "a touch") writeFileSync(`${site.path}/current/restart.txt`, "");
    await hupwatch.until(why);
    await hupwatch.until(LOG.serves(2));
    await hupwatch.until(LOG.gone(1));
    await load.more(20);
    expect(await load.stop()).toMatchObject({ failures: {} });
  },
  180_000,
);
