/** A deploy script under load: what it is told, how it exits, and that clients notice nothing. With real gunicorn. */
import { expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { cli, home, shell, statusOf } from "../harness/cli.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, deployTo, GIVES_UP_SOON, gunicorn, gunicornSite } from "../harness/site.ts";
import { until } from "../harness/until.ts";

const TIMEOUT_MS = 120_000;

const DEPLOY = `
deploy() {
  ln -sfn "releases/$1" next && mv -T next current
  echo "$ hupwatch reload shop"
  hupwatch reload shop --timeout 30s
  echo "[exit $?]"
}
deploy good-2
deploy broken-3
deploy good-4
`;

test(
  "I8: a good, a broken and a good release: exit codes, the reason, 0 dropped",
  async () => {
    using place = home();
    using site = gunicornSite();
    for (const release of ["good-2", "broken-3", "good-4"])
      deployTo(`${site.path}/releases/${release}`, release.slice(-1));
    writeFileSync(`${site.path}/releases/broken-3/wsgi.py`, "import module_that_is_missing\n");
    const bind = await bindFor("unix", site);
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0.2", "--name", "shop", "--", ...gunicorn(bind), ...GIVES_UP_SOON],
      { cwd: site.current, env: place.env },
    );
    await using load = await startLoad({ target: bind, afterFirstOk: true });

    const { stdout: transcript } = await shell(DEPLOY, place, site.path);
    if (process.env.HUPWATCH_SHOW) console.log(transcript);
    await load.version("4");
    expect(await load.stop()).toMatchObject({ failures: {}, failed: 0, wentBack: 0, lastVersion: "4" });

    const parts = transcript.split("$ hupwatch reload shop\n").slice(1);
    expect(parts).toHaveLength(3);
    expect(parts[0]).toMatch(
      /^shop: generation 2 serves, ready in [\d.]+ s, swapped in [\d.]+ s\n\[exit 0\]\n$/,
    );
    expect(parts[1]).toMatch(/^shop: rolled back, generation 2 goes on\n {2}generation 3 /);
    expect(parts[1]).toContain("    ModuleNotFoundError: No module named 'module_that_is_missing'\n");
    expect(parts[1]).toEndWith("[exit 1]\n");
    expect(parts[2]).toMatch(/^shop: generation 4 serves, .*\n\[exit 0\]\n$/);

    // What waited in the queue of the broken one was hupwatch's own question.
    expect(hupwatch.log).not.toContain("passed on");

    // As `statusOf`: an answer may be late.
    const inTime = async () => {
      const said = await cli(["status", "shop"], place);
      return said.exitCode !== 3 && said;
    };
    const status = await until(inTime, { what: "shop to answer" });
    if (process.env.HUPWATCH_SHOW) console.log(status.stdout);
    expect(status).toMatchObject({ exitCode: 0, stderr: "" });
    expect(status.stdout).toMatch(/^shop {3}serving {3}pid \d+ {3}up /);
    expect(status.stdout).toMatch(/\n4 +\d+ +serving +\d+ s +[\d.]+ s +[4-9] +\d+ MB( +\d+)?\n/);
    expect(status.stdout).toMatch(/ to 3 {2}rolled back/);

    const stop = await cli(["stop", "shop"], place);
    expect(stop).toEqual({ exitCode: 0, stdout: "shop: stopped\n", stderr: "" });
    expect(await hupwatch.exited).toBe(0);
    await hupwatch.assertTreeGone();
    expect(existsSync(`${place.path}/hupwatch/shop.sock`)).toBe(false);
  },
  TIMEOUT_MS,
);

test(
  "I4: of two reloads at once both get the outcome of a swap that began after they asked",
  async () => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0.2", "--name", "shop", "--", ...gunicorn(bind)],
      { cwd: site.current, env: place.env },
    );
    const reload = () => cli(["reload", "shop", "--json"], place);
    const first = reload();
    await hupwatch.until(LOG.started(2));
    const answers = await Promise.all([first, reload(), reload()]);
    const outcomes = answers.map(({ exitCode, stdout }) => ({ exitCode, ...JSON.parse(stdout) }));
    expect(outcomes.map(({ exitCode, outcome }) => ({ exitCode, outcome }))).toEqual(
      Array(3).fill({ exitCode: 0, outcome: "swapped" }),
    );
    const [one, ...others] = outcomes.map(({ generation }) => generation as number);
    expect(one).toBe(2);
    // Both at once as a rule; on a machine that starts them slowly one may come too late for the third.
    for (const generation of others) expect(generation).toBeGreaterThan(2);
    const { counts } = await statusOf("shop", place);
    expect(counts.swapped).toBe(Math.max(...others) - 1);
  },
  TIMEOUT_MS,
);
