/**
 * A command that nobody knows and that binds by itself, where it is not intercepted: its swap would be an outage, so it is refused, at
 * once and with the way out, and clients never notice.
 *
 * https://github.com/conda/conda/issues/8586, https://github.com/zammad/zammad/issues/1934
 */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { cli, home } from "../harness/cli.ts";
import { freePort } from "../harness/free-port.ts";
import { spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { GUNICORNS, PYTHON, ROOT } from "../setup/places.ts";

const SECCOMP = process.arch === "arm64" ? 277 : 317;

test.each(["unix", "tcp"])("a wrapper in front of gunicorn, %s", async (transport) => {
  using dir = tempDir();
  using place = home();
  const address = transport === "unix" ? `unix:${dir.path}/app.sock` : `0.0.0.0:${await freePort("0.0.0.0")}`;
  writeFileSync(
    `${dir.path}/run-it`,
    `#!/bin/sh\nexec ${GUNICORNS.debian} wsgi:application --bind ${address}\n`,
  );
  chmodSync(`${dir.path}/run-it`, 0o755);
  const words = ["-k", "--name", "wrapped", "--", `${dir.path}/run-it`];
  await using hupwatch = await startHupwatch(words, {
    cwd: `${ROOT}/fixtures/apps`,
    launcher: `${ROOT}/fixtures/launchers/lacking.py`,
    env: { ...place.env, LACKS: `${SECCOMP}:EPERM` },
  });
  await using load = await startLoad({ target: address, rate: 100, afterFirstOk: true });
  await load.more(10);
  const { exitCode, stderr } = await cli(["reload", "wrapped"], place);
  expect(stderr).toContain(`the serving one listens on ${address} (pid `);
  expect(stderr).toContain("hold it with --bind and let the command take it (LISTEN_FDS, {fd}, {socket})");
  expect(exitCode).toBe(1);
  await load.more(50);
  expect(await load.stop()).toMatchObject({ failed: 0, failures: {} });
  expect(hupwatch.log).not.toContain("generation 2 started");
});

// https://github.com/pallets/flask/issues/1938: "does not start, EADDRINUSE", and no hint that hupwatch itself holds the port.
test("a command that binds a held port by itself is told of who holds it", async () => {
  const port = await freePort();
  const listen = `require("http").createServer(() => {}).listen(${port}, "127.0.0.1")`;
  const words = ["-k", "--handover", "systemd", "-b", `127.0.0.1:${port}`, "--", "node", "-e", listen];
  await using hupwatch = spawnHupwatch(words);
  expect(await hupwatch.exited).not.toBe(0);
  expect(hupwatch.log).toContain(`hupwatch itself holds 127.0.0.1:${port}; to fix: --handover intercept`);
});

// "an unknown server's second instance on a port held by another hupwatch: the error names the other hupwatch"
test.each(["learned", "held"])(
  "a second one on the port of another hupwatch is told of it: %s",
  async (how) => {
    using place = home();
    const port = await freePort();
    const command = ["--", PYTHON, "-m", "http.server", `${port}`, "--bind", "127.0.0.1"];
    const start = { env: place.env };
    await using first = await startHupwatch(["-k", "--name", "one", ...command], start);
    const bound = how === "held" ? ["-b", `127.0.0.1:${port}`] : [];
    await using second = spawnHupwatch(["-k", "--name", "two", ...bound, ...command], start);
    expect(await second.exited).not.toBe(0);
    expect(second.log).toContain(
      `listens on port ${port}: it serves for hupwatch 'one', which runs as process ${first.pid}: 'hupwatch reload ${first.pid}' swaps it`,
    );
  },
);

// https://github.com/oven-sh/bun/pull/33578: Bun's node:http ignores listen({ fd }), and nothing told that it listens elsewhere.
test("a server that ignores its listener is told where it listens instead", async () => {
  const app = `require("node:http").createServer((q, r) => r.end("ok")).listen({ fd: 3 })`;
  const words = [
    "-k",
    "-b",
    `127.0.0.1:${await freePort()}`,
    "--ready-timeout",
    "10s",
    "--handover",
    "systemd",
    "--",
    process.execPath,
    "-e",
    app,
  ];
  await using hupwatch = spawnHupwatch(words);
  expect(await hupwatch.exited).toBe(125);
  expect(hupwatch.log).toMatch(
    /not ready within 10.00 s .*it listens on .*:\d+ by itself; to fix: let it take its descriptor/,
  );
});
