/** hold, migrate, reload with a real gunicorn under counting load: nothing is dropped, and nothing reaches the old code meanwhile. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import type { SocketStatus } from "../../src/control/protocol.ts";
import { cli, home, shell, statusOf } from "../harness/cli.ts";
import { Client } from "../harness/client.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { bindFor, gunicorn, gunicornSite, TRANSPORTS } from "../harness/site.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

/** On a machine that does much else. */
const TIMEOUT_MS = 180_000;

test.each(TRANSPORTS)(
  "hold && migrate && reload, then hold and resume: all that waited is answered by the new one (%s)",
  async (transport) => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    await using hupwatch = await startHupwatch(["-k", "-w", "0", "--name", "shop", "--", ...gunicorn(bind)], {
      cwd: site.current,
      env: place.env,
    });
    // The queue is far longer than so many clients, each of which waits for its answer.
    await using load = await startLoad({ target: bind, concurrency: 8 });
    await load.more(50);
    site.deploy("2");
    // An answer may be late, and is asked for again.
    const isHolding = `hupwatch status shop --json | grep '"phase":"holding"'`;
    const migrate = `until ${isHolding}; do :; done && touch ${site.path}/migrated`;
    const all = await shell(
      `hupwatch hold --for 120s shop && ${migrate} && hupwatch reload shop`,
      place,
      site.path,
    );
    expect(all).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("generation 2 serves") });
    expect(existsSync(`${site.path}/migrated`)).toBe(true);
    await load.version("2");

    expect(await cli(["resume", "shop"], place)).toMatchObject({ exitCode: 1 });
    expect(await cli(["hold", "--for", "120s", "shop"], place)).toMatchObject({ exitCode: 0 });
    // A request that is under way may still be with the old one, or not yet connected.
    const status = await until(
      async () => {
        const now = await statusOf("shop", place);
        return now.sockets[0]?.queued === 8 && now;
      },
      { what: "all eight to wait in the queue" },
    );
    expect(Date.parse(status.heldUntil ?? "")).toBeGreaterThan(Date.now());
    expect((await cli(["status", "shop"], place)).stdout).toMatch(
      /new connections wait for .*, [^;]+ more; /,
    );
    expect(status.sockets[0]).toMatchObject({ queued: 8, limit: expect.any(Number) });
    expect(await cli(["resume", "shop"], place)).toMatchObject({ exitCode: 0 });
    expect(hupwatch.log).toContain("generation 3 gets the connections that wait (a fresh copy, by resume)");
    await load.more(50);
    await hupwatch.until(LOG.gone(2));
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "2" });
  },
  TIMEOUT_MS,
);

test(
  "I3, I8: where the new release does not start, those that wait are answered by the old one",
  async () => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor("unix", site);
    const preflight = "! grep -q broken wsgi.py";
    await using hupwatch = await startHupwatch(
      ["-k", "-w", "0", "--name", "shop", "--preflight", preflight, "--", ...gunicorn(bind)],
      { cwd: site.current, env: place.env },
    );
    expect(await cli(["hold", "--for", "120s", "shop"], place)).toMatchObject({ exitCode: 0 });
    const client = new Client({ target: bind, concurrency: 4 });
    client.start();
    await until(() => client.underWay === 4, { what: "four requests that wait" });
    site.deployBroken();
    expect(await cli(["reload", "shop"], place)).toMatchObject({ exitCode: 1 });
    await hupwatch.until(/4 connections waiting for generation 2 passed on/);
    expect((await client.stop()).failures).toEqual({});
  },
  TIMEOUT_MS,
);

/** TERM during a hold lost the clients that waited: hupwatch was over before they were passed on. */
const ENDS = TRANSPORTS.flatMap((transport) => [
  { transport, how: "TERM", words: [], held: true },
  { transport, how: "TERM with -k", words: ["-k"], held: true },
  { transport, how: "TERM while the next one boots", words: [], held: false },
]);
test.each(ENDS)(
  "I3: $how in a hold: those that wait are answered by the old one before hupwatch ends ($transport)",
  async ({ transport, words, held }) => {
    using place = home();
    using site = gunicornSite();
    const bind = await bindFor(transport, site);
    // The second generation's never ends within the test: its start is under way until TERM.
    const preflight = `test "$HUPWATCH_GENERATION" = 1 || exec sleep 600`;
    await using hupwatch = await startHupwatch(
      [
        ...words,
        "-w",
        "0",
        "--name",
        "shop",
        "--preflight",
        preflight,
        "--ready-timeout",
        "10m",
        "--",
        ...gunicorn(bind),
      ],
      { cwd: site.current, env: place.env },
    );
    expect(await cli(["hold", "--for", "120s", "shop"], place)).toMatchObject({ exitCode: 0 });
    const client = new Client({ target: bind, concurrency: 4 });
    client.start();
    await until(() => client.underWay === 4, { what: "four requests that wait" });
    if (!held) {
      process.kill(hupwatch.pid, "SIGHUP");
      await hupwatch.until(/generation 2 gets the connections that wait/);
    }
    // With -k nothing serves afterwards: each client has the one request that waits.
    const done = words.length > 0 ? client.stop() : undefined;
    process.kill(hupwatch.pid, "SIGTERM");
    expect(await hupwatch.exited).toBe(0);
    expect(hupwatch.log).toMatch(/4 connections waiting for generation 2 passed on/);
    const { failures, ok } = await (done ?? client.stop());
    expect(failures).toEqual({});
    expect(ok).toBeGreaterThanOrEqual(4);
  },
  TIMEOUT_MS,
);

// "in a hold, a column of TCP drops (SK_MEMINFO drops by sock_diag)"
test("over TCP the status counts the tries that a full queue has dropped", async () => {
  using place = home();
  const port = await freePort();
  const words = ["-k", "--name", "shop", "--backlog", "1", "--", PYTHON, "-m", "http.server", `${port}`];
  await using _hupwatch = await startHupwatch([...words, "--bind", "127.0.0.1"], { env: place.env });
  const socket = async (): Promise<SocketStatus | undefined> => (await statusOf("shop", place)).sockets[0];
  expect(await socket()).toMatchObject({ dropped: expect.any(Number) });
  expect(await cli(["hold", "--for", "120s", "shop"], place)).toMatchObject({ exitCode: 0 });
  using clients = new DisposableStack();
  // listen(2): one more than the backlog is taken.
  for (let i = 0; i < 4; i++) {
    const client = connect(port, "127.0.0.1").on("error", () => {});
    clients.defer(() => client.destroy());
  }
  const hasDropped = async () => {
    const now = await socket();
    return (now?.dropped ?? 0) > 0 && now;
  };
  const seen = await until(hasDropped, { what: "a try that was dropped" });
  expect(seen).toMatchObject({ queued: 2, limit: 1 });
  expect((await cli(["status", "shop"], place)).stdout).toMatch(/QUEUE +DROPPED\n.* 2 of 1 +[1-9]/);
});
