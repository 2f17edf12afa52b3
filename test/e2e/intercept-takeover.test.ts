/**
 * I7 for intercepted commands: whatever becomes of hupwatch, the service goes on, can go on binding, and is taken over without
 * pidfd_getfd(2), which Docker and Yama refuse: the keeper hands its listeners to the next hupwatch.
 */
import { afterAll, expect, test } from "bun:test";
import { chownSync, existsSync } from "node:fs";
import { copyForAll, NOBODY } from "../harness/another-user.ts";
import { ENDS } from "../harness/ends.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { highestGeneration } from "../harness/log-lines.ts";
import { bindFor, gunicornSite } from "../harness/site.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { takeTurn } from "../harness/turns.ts";
import { until } from "../harness/until.ts";
import { GUNICORNS } from "../setup/places.ts";

const TIMEOUT_MS = 300_000;
const copy = copyForAll();
afterAll(() => copy[Symbol.dispose]());

const { "kill -9 while the old one drains": _, ...HERE } = ENDS;

test.concurrent.each(["tcp", "unix"] as const)(
  "I7: gunicorn behind a shell over %s, as nobody, without pidfd_getfd: each end of hupwatch once",
  async (transport) => {
    using _turn = await takeTurn();
    using site = gunicornSite();
    if (process.getuid?.() === 0) chownSync(site.path, NOBODY.uid, NOBODY.gid);
    const bind = await bindFor(transport, site);
    const words = ["sh", "-c", `${GUNICORNS.debian} wsgi:application -w 2 -b ${bind}; exit $?`];
    await using lives = new Lives(["-w", "0.3", "--handover", "intercept", "-b", bind, "--", ...words], {
      cwd: site.current,
      launcher: `${copy.root}/fixtures/launchers/refused.py`,
      env: copy.env,
    });
    let hupwatch = await lives.start();
    await using load = await startLoad({ target: bind, rate: 200, afterFirstOk: true });
    let version = 1;
    for (const end of Object.values(HERE)) {
      site.deploy(`${++version}`);
      await end(hupwatch, highestGeneration(lives.log) + 1);
      await load.more(50);
      site.deploy(`${++version}`);
      hupwatch = await lives.start();
      expect(hupwatch.log).toMatch(/took over generation \d+, which serves/);
      await load.version(`${version}`);
    }
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
    hupwatch.signal("SIGQUIT");
    await hupwatch.exited;
    await hupwatch.assertTreeGone();
  },
  TIMEOUT_MS,
);

/** Binds a UDP socket and another port at each request, as a resolver of musl's and an admin server do. */
const BINDS = `
const http = require("http"), dgram = require("dgram");
http.createServer((request, response) => {
  const socket = dgram.createSocket("udp4").on("error", (e) => response.end(String(e)));
  socket.bind(0, () => { socket.close(); const s = http.createServer().on("error", (e) => response.end(String(e)));
    s.listen(0, () => { s.close(); response.end("bound " + process.env.HUPWATCH_GENERATION); }); });
}).listen(process.argv[1]);
`;

test("I7: a service whose hupwatch was killed can go on binding", async () => {
  using dir = tempDir();
  const at = `${dir.path}/app.sock`;
  const words = ["node", "-e", BINDS, at];
  await using lives = new Lives(["--handover", "intercept", "-b", `unix:${at}`, "--", ...words], {
    cwd: dir.path,
  });
  const first = await lives.start();
  const ask = async () => await (await fetch("http://app/", { unix: at, keepalive: false })).text();
  expect(await ask()).toBe("bound 1");
  await ENDS["kill -9"](first, 2);
  for (let i = 0; i < 20; i++) expect(await ask()).toBe("bound 1");
  const second = await lives.start();
  await until(async () => (await ask()) === "bound 2", { what: "the second generation" });
  second.signal("SIGQUIT");
  await second.exited;
  await second.assertTreeGone();
  expect(existsSync(at)).toBe(false);
}, 120_000);
