/** Servers that cut what is in flight when they are told to stop: KILL as the stop signal makes any server one of those. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Client } from "../harness/client.ts";
import { always, child } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const TINY = [process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
/** Longer than the half second that the old one has before its signal in any case. */
const SLOW = "/slow?ms=1500";

async function swapUnderSlowRequests(bind: string, options: string[]) {
  using place = tempDir();
  await using hupwatch = await startHupwatch(
    ["-k", "-w", "0", "-b", bind, "--stop-signal", "KILL", ...options, "--", ...TINY],
    { cwd: place.path },
  );
  await using load = await startLoad({ target: bind, path: SLOW, concurrency: 4 });
  await load.version("1");
  hupwatch.hup();
  await hupwatch.until(LOG.gone(1));
  await load.version("2");
  return await load.stop();
}

const binds = {
  unix: async (place: string) => `unix:${place}/app.sock`,
  tcp: async () => `127.0.0.1:${await freePort()}`,
};

test.each(["unix", "tcp"] as const)(
  "what is in flight is finished before the stop signal (%s)",
  async (family) => {
    using place = tempDir();
    const report = await swapUnderSlowRequests(await binds[family](place.path), []);
    expect(report).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "2" });
  },
  120_000,
);

test.each(["unix", "tcp"] as const)(
  "the connections that came by a shared listener are seen, too (%s)",
  async (family) => {
    using place = tempDir();
    const bind = await binds[family](place.path);
    const options = ["-k", "-w", "0", "-b", bind, "--stop-signal", "KILL", "--cutover", "share"];
    await using hupwatch = await startHupwatch([...options, "--", ...TINY], { cwd: place.path });
    // One by one, since the old generation goes on accepting: it is idle once this one is answered.
    const client = new Client({ target: bind, path: "/slow?ms=3000", concurrency: 1 });
    client.start();
    await until(() => client.underWay > 0, { what: "the request to be under way" });
    hupwatch.hup();
    await hupwatch.until(LOG.retired(1));
    const { failures } = await client.stop();
    expect(failures).toEqual({});
    await hupwatch.until(LOG.gone(1));
  },
  120_000,
);

test("without it, it is cut: the test can see the difference", async () => {
  using place = tempDir();
  const bind = await binds.unix(place.path);
  const options = ["-k", "-w", "0", "-b", bind, "--stop-signal", "KILL", "--drain-until-idle", "0"];
  const command = always(child("holds.ts", `${place.path}/never`));
  await using hupwatch = await startHupwatch([...options, "--", ...command]);
  const client = new Client({ target: bind, path: "/held", concurrency: 1 });
  client.start();
  await hupwatch.until(/holding/, { stream: "output" });
  // The one request, and no other.
  const done = client.stop();
  await hupwatch.swap(2);
  expect(await done).toMatchObject({ ok: 0, failed: 1 });
}, 120_000);

const PM2_APP = `
const { existsSync } = require("fs");
const server = require("http").createServer((q, r) => {
  const finish = () => {
    if (q.url === "/slow" && !existsSync("go")) setTimeout(finish, 20);
    else r.writeHead(200, { "X-Version": "1", "X-Request-Id": q.headers["x-request-id"] ?? "" }).end("done");
  };
  if (q.url === "/slow") console.log("asked");
  finish();
});
server.listen(Number(process.argv[2]), "127.0.0.1");
process.on("SIGINT", () => server.close(() => process.exit(0)));
`;

// "apps for PM2: no word of --stop-signal INT": https://github.com/Unitech/pm2/issues/3136
test.each([
  ["has no handler for: the swap that cuts a request says so, and names the other one", [], true],
  ["has a handler for: nothing is cut", ["--stop-signal", "INT"], false],
])(
  "a stop signal that the program %s",
  async (_, options, isCut) => {
    using place = tempDir();
    const port = await freePort();
    writeFileSync(`${place.path}/app.js`, PM2_APP);
    const words = [
      "-k",
      "-v",
      "-w",
      "0",
      "--drain-until-idle",
      "300ms",
      ...options,
      "-b",
      `127.0.0.1:${port}`,
    ];
    await using hupwatch = await startHupwatch([...words, "--", "node", "app.js", `${port}`], {
      cwd: place.path,
    });
    const client = new Client({ target: `127.0.0.1:${port}`, path: "/slow", concurrency: 1 });
    client.start();
    // What it has not accepted at the flip goes to the next generation.
    await hupwatch.until(/asked/, { stream: "output" });
    // The one request, and no other.
    const done = client.stop();
    hupwatch.hup();
    await hupwatch.until(/SIG(INT|TERM)/);
    if (!isCut) writeFileSync(`${place.path}/go`, "");
    await hupwatch.until(LOG.gone(1));
    const warning = "SIGTERM ended generation 1 at once, and cut the connections that it had";
    expect(hupwatch.log.includes(warning)).toBe(isCut);
    expect(hupwatch.log.includes("--stop-signal INT")).toBe(isCut);
    expect(await done).toMatchObject({ ok: isCut ? 0 : 1, failed: isCut ? 1 : 0 });
  },
  120_000,
);
