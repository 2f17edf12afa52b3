/** --confirm, --judge and --keep with a real gunicorn under counting load: which of two generations remains, and nothing is dropped. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { cli, home, statusOf } from "../harness/cli.ts";
import { type Hupwatch, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";

/** On a machine that does much else. */
const TIMEOUT_MS = 180_000;

const UNCONFIRMED = (generation: number) =>
  new RegExp(`generation ${generation} has the clients and waits for 'hupwatch confirm'`);

const backTo = (generation: number) =>
  new RegExp(`rolled back: generation \\d+ .*; generation ${generation} goes on`);

/** I9: the old one was told nothing: neither a signal nor that it is over. */
const wasLeftAlone = ({ log }: Hupwatch, generation: number) =>
  expect(log).not.toMatch(new RegExp(`generation ${generation}(: sent| gone|, which was)`));

test.each(TRANSPORTS)(
  "I9: a rollback, a confirmation, and a rollback of what was confirmed: 0 dropped in each (%s)",
  async (transport) => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    const options = ["-k", "-w", "0", "-v", "--name", "shop", "--confirm", "60s", "--keep", "60s"];
    await using hupwatch = await startHupwatch([...options, "--", ...gunicorn(bind)], {
      cwd: site.current,
      env: place.env,
    });
    await using load = await startLoad({ target: bind });

    site.deploy("2");
    const given = cli(["reload", "shop"], place);
    await hupwatch.until(UNCONFIRMED(2));
    expect(await cli(["reload", "shop"], place)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("generation 2 waits for 'hupwatch confirm' or 'hupwatch rollback'"),
    });
    expect(await cli(["rollback", "shop"], place)).toMatchObject({ exitCode: 0 });
    expect(await given).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("was given up on request"),
    });
    expect(hupwatch.log).toMatch(backTo(1));
    await hupwatch.until(LOG.gone(2));
    wasLeftAlone(hupwatch, 1);

    const good = cli(["reload", "shop"], place);
    await hupwatch.until(UNCONFIRMED(3));
    const status = await statusOf("shop", place);
    expect(status.generations.map(({ number, role }) => ({ number, role }))).toEqual([
      { number: 1, role: "kept" },
      { number: 3, role: "unconfirmed" },
    ]);
    expect(await cli(["confirm", "shop"], place)).toMatchObject({ exitCode: 0 });
    expect(await good).toMatchObject({ exitCode: 0 });
    expect(await cli(["confirm", "shop"], place)).toMatchObject({ exitCode: 1 });
    await load.more(50);
    wasLeftAlone(hupwatch, 1);

    expect((await cli(["rollback", "shop"], place)).stdout).toContain("generation 1 has the clients");
    await hupwatch.until(LOG.gone(3));
    await load.more(50);
    expect(await cli(["rollback", "shop"], place)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("the previous generation is not kept"),
    });
    wasLeftAlone(hupwatch, 1);
    expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "1" });
  },
  TIMEOUT_MS,
);

test.each([
  ["unix", "SIGTERM"],
  ["unix", "SIGKILL"],
  ["tcp", "SIGKILL"],
] as const)(
  "I9, I7: hupwatch's own end does not make an unconfirmed one stay: the next start goes on from the one before (%s, %s)",
  async (transport, signal) => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    const words = ["-w", "0", "-v", "--name", "shop", "--confirm", "60s", "--", ...gunicorn(bind)];
    const start = { cwd: site.current, env: place.env };
    await using first = await startHupwatch(words, start);
    await using load = await startLoad({ target: bind });
    site.deploy("2");
    first.hup();
    await first.until(UNCONFIRMED(2));
    await load.version("2");
    first.signal(signal);
    await first.exited;
    await load.more(50);

    await using second = await startHupwatchOver(1, words, start);
    await second.until(UNCONFIRMED(3));
    wasLeftAlone(first, 1);
    wasLeftAlone(second, 1);
    expect(await cli(["confirm", "shop"], place)).toMatchObject({ exitCode: 0 });
    await second.until(LOG.gone(1));
    expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "2" });
  },
  TIMEOUT_MS,
);

async function startHupwatchOver(
  generation: number,
  words: string[],
  options: Parameters<typeof spawnHupwatch>[1],
) {
  const hupwatch = spawnHupwatch(words, options);
  await hupwatch.until(LOG.tookOver(generation));
  return hupwatch;
}

test(
  "I9: silence is a rollback",
  async () => {
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    const options = ["-k", "-w", "0", "-v", "--confirm", "1s"];
    await using hupwatch = await startHupwatch([...options, "--", ...gunicorn(bind)], { cwd: site.current });
    await using load = await startLoad({ target: bind });
    site.deploy("2");
    hupwatch.hup();
    await hupwatch.until(/generation 2 was not confirmed within 1\.00 s \(--confirm\); generation 1 goes on/);
    await hupwatch.until(LOG.gone(2));
    wasLeftAlone(hupwatch, 1);
    await load.more(50);
    expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "1" });
  },
  TIMEOUT_MS,
);

test(
  "I9: a judge that fails once is a rollback, and one that never does a confirmation",
  async () => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    const verdict = `${site.path}/verdict`;
    writeFileSync(verdict, "");
    const judge = `exec:grep -v bad ${verdict} || test ! -s ${verdict}`;
    const options = ["-k", "-w", "0", "--name", "shop", "--confirm", "1s", "--judge", judge];
    await using hupwatch = await startHupwatch([...options, "--", ...gunicorn(bind)], {
      cwd: site.current,
      env: place.env,
    });
    await using load = await startLoad({ target: bind });
    site.deploy("2");
    // Before it is asked: in the second that it takes to be confirmed this process may not run at all.
    writeFileSync(verdict, "bad\n");
    hupwatch.hup();
    await hupwatch.until(UNCONFIRMED(2));
    await hupwatch.until(/generation 2 was not confirmed: judge '.*' exited with code 1/);
    writeFileSync(verdict, "");
    expect(await cli(["reload", "shop"], place)).toMatchObject({ exitCode: 0 });
    await hupwatch.until(LOG.gone(1));
    await load.version("2");
    expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "2" });
  },
  TIMEOUT_MS,
);
