/**
 * Any command, as a user types it, with no option: what binds by itself is given the held listener, what listens nowhere is swapped, and
 * where binds cannot be seen that is said.
 */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const SERVES = `
const http = require("http");
http.createServer((request, response) => {
  response.setHeader("X-Version", process.env.HUPWATCH_GENERATION);
  response.setHeader("X-Request-Id", request.headers["x-request-id"] ?? "");
  response.end("hello");
}).listen(process.argv[2], process.argv[3]);
`;

// "`node server.js`, `npm start`, `flask run`, `java -jar`: rolled back, EADDRINUSE, no hint; served by the old one for ever".
test.skipIf(Bun.which("npm") === null)(
  "npm start with no option: learned, swapped, nothing dropped (needs npm)",
  async () => {
    using dir = tempDir();
    const port = await freePort();
    writeFileSync(`${dir.path}/server.js`, SERVES);
    const start = `node server.js ${port} 127.0.0.1`;
    writeFileSync(`${dir.path}/package.json`, JSON.stringify({ scripts: { start } }));
    await using hupwatch = await startHupwatch(["-k", "-w", "0.2", "--", "npm", "start"], { cwd: dir.path });
    expect(hupwatch.log).toContain(`generation 1 listens at 127.0.0.1:${port}: held from now on`);
    await using load = await startLoad({ target: `127.0.0.1:${port}`, rate: 100, afterFirstOk: true });
    await hupwatch.swap(2);
    await load.version("2");
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
  },
);

// "With --bind, only what it names": every other bind is the server's own business.
test("with --bind only that is held, by whichever way the command takes it", async () => {
  using dir = tempDir();
  // On a loopback address a port of that range would count as chosen by the kernel.
  const [held, own] = [await freePort(), await freePort("0.0.0.0")];
  const both = `
    const answer = (q, r) => r.end(process.env.HUPWATCH_GENERATION + (process.env.LISTEN_FDS ?? ""));
    const listenHeld = () => require("http").createServer(answer).listen(${held}, "127.0.0.1");
    require("http").createServer(answer).on("error", listenHeld).listen(${own}, "0.0.0.0", listenHeld);`;
  await using hupwatch = await startHupwatch(
    ["-k", "-w", "0", "-b", `127.0.0.1:${held}`, "--", "node", "-e", both],
    { cwd: dir.path },
  );
  const ask = async (port: number) =>
    await (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false })).text();
  expect(await ask(held)).toBe("11");
  await hupwatch.until(new RegExp(`generation 1 also listens on 0.0.0.0:${own} `));
  await hupwatch.swap(2);
  expect(await ask(held)).toBe("21");
});

// "fd 4 is not a socket": the runtime marks what it inherits from 4 on as close-on-exec.
test("several descriptors reach a command whose binds are seen", async () => {
  using dir = tempDir();
  const binds = ["a", "b", "c"].flatMap((name) => ["-b", `${name}=unix:${dir.path}/${name}`]);
  const serves = `
    for (const fd of [3, 4, 5]) require("http").createServer((q, r) => r.end(String(fd))).listen({ fd });`;
  await using _hupwatch = await startHupwatch(["-k", ...binds, "--", "node", "-e", serves], {
    cwd: dir.path,
  });
  for (const [i, name] of ["a", "b", "c"].entries())
    expect(await (await fetch("http://app/", { unix: `${dir.path}/${name}` })).text()).toBe(`${i + 3}`);
});

test("a worker that listens nowhere is ready when it has come to rest, which is said, and is swapped", async () => {
  using dir = tempDir();
  // In ms: of two seconds of the clock the first may be over at once.
  const busy =
    "end=$(($(date +%s%3N) + 1500)); while [ $(date +%s%3N) -lt $end ]; do :; done; exec sleep 1000";
  await using hupwatch = await startHupwatch(["-k", "-w", "0", "--", "sh", "-c", busy], { cwd: dir.path });
  expect(hupwatch.log).toContain("no socket is held");
  expect(Number(LOG.ready(1).exec(hupwatch.log)?.[1])).toBeGreaterThanOrEqual(2);
  await hupwatch.swap(2);
  expect(hupwatch.count(/no socket is held/)).toBe(1);
});

test("a command that listens nowhere waits only for the user's own check, which gets its output from the beginning", async () => {
  using dir = tempDir();
  const words = [
    "-k",
    "-w",
    "0",
    "--ready",
    "line:at work",
    "--",
    "sh",
    "-c",
    "echo at work; exec sleep 1000",
  ];
  await using hupwatch = await startHupwatch(words, { cwd: dir.path });
  await hupwatch.swap(2);
});

const SECCOMP = process.arch === "arm64" ? 277 : 317;

// The refusal of "Field cases I", 5, stays where a bind cannot be seen: the swap would be an outage.
test("if binds cannot be trapped the start says why, and a swap that would be an outage is refused", async () => {
  using dir = tempDir();
  const port = await freePort("0.0.0.0");
  writeFileSync(`${dir.path}/server.js`, SERVES);
  await using hupwatch = await startHupwatch(["-k", "--", "node", "server.js", `${port}`, "0.0.0.0"], {
    cwd: dir.path,
    launcher: `${ROOT}/fixtures/launchers/lacking.py`,
    env: { LACKS: `${SECCOMP}:EPERM` },
  });
  expect(hupwatch.log).toContain(
    "the command's own binds cannot be trapped here: the seccomp profile of this container forbids it",
  );
  const listens = () =>
    fetch(`http://127.0.0.1:${port}/`, { keepalive: false }).then(
      () => true,
      () => false,
    );
  await until(listens, { what: "the server" });
  hupwatch.hup();
  await hupwatch.until(LOG.rolledBack);
  expect(hupwatch.log).toContain(`the serving one listens on 0.0.0.0:${port} (pid `);
  expect(hupwatch.log).toContain("to fix: hold it with --bind and let the command take it");
  expect(hupwatch.log).not.toContain("generation 2 started");
});
