/** `--handover intercept` without --bind: where the first generation listens is learned, held, steered and taken over. */
import { expect, test } from "bun:test";
import { chownSync, existsSync, statSync, writeFileSync } from "node:fs";
import { asUser, launcherWithoutPtrace, NOBODY } from "../harness/another-user.ts";
import { Connection } from "../harness/connection.ts";
import { placeIn } from "../harness/contract.ts";
import { freePort } from "../harness/free-port.ts";
import { LAUNCHER, startHupwatch } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { BUILT, GUNICORNS, isThere } from "../setup/places.ts";

const INTERCEPT = ["-w", "0.2", "--handover", "intercept"];

const COMMANDS: Record<string, { needs?: string; words: (at: string) => string[] }> = {
  Node: { words: (at) => ["node", "node.mjs", at] },
  "Go, static": { needs: BUILT.go, words: (at) => [BUILT.go, at] },
  "gunicorn behind a shell that stays": {
    words: (at) => [
      "sh",
      "-c",
      `${GUNICORNS.debian} wsgi:application -w 2 -b ${at.startsWith("/") ? `unix:${at}` : at}; exit $?`,
    ],
  },
};

const ALL = Object.entries(COMMANDS).flatMap(([name, command]) =>
  (["tcp", "unix"] as const).map((transport) => ({ name, transport, ...command })),
);
const canRun = ({ needs = "sh" }) => isThere(needs);
const CASES = ALL.filter(canRun);
const MISSING = ALL.filter((one) => !canRun(one));
if (MISSING.length > 0) test.skip.each(MISSING)("$name over $transport: $needs is not installed", () => {});

// With --socket-mode 0777 and a command that binds by itself nginx answered 151 x 502 (13: Permission denied) until the first swap.
test("--socket-mode and --socket-owner hold for a learned path, from the first generation on", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "unix");
  const mine = `${process.getuid?.()}:${process.getgid?.()}`;
  const options = ["-k", "--umask", "0022", "--socket-mode", "0606", "--socket-owner", mine, ...INTERCEPT];
  await using hupwatch = await startHupwatch([...options, "--", "node", "node.mjs", place.at], {
    cwd: place.directory,
  });
  await hupwatch.until(/held from now on/);
  for (const generation of [2, 3]) {
    expect(statSync(place.at).mode & 0o777).toBe(0o606);
    await hupwatch.swap(generation);
  }
});

// `node server.js` was rolled back by EADDRINUSE, and `./entrypoint.sh` lost its path with the first swap that was called a success.
test.each(CASES)(
  "$name over $transport: two swaps, a kill -9 and a start, nothing dropped",
  async (c) => {
    using dir = tempDir();
    const place = await placeIn(dir.path, c.transport);
    const target = c.transport === "unix" ? `unix:${place.at}` : place.at;
    await using lives = new Lives([...INTERCEPT, "--", ...c.words(place.at)], { cwd: place.directory });
    const first = await lives.start();
    expect(first.log).toContain(`generation 1 listens at ${target}: held from now on`);
    await using load = await startLoad({ target, rate: 200, afterFirstOk: true });
    for (const generation of [2, 3]) {
      await first.swap(generation);
      await load.more(20);
    }
    first.signal("SIGKILL");
    await first.exited;
    await load.more(20);
    const second = await lives.start();
    expect(second.log).toContain("took over generation 3, which serves");
    await load.version("4");
    await second.swap(5);
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
    second.signal("SIGQUIT");
    await second.exited;
    await second.assertTreeGone();
    if (c.transport === "unix") expect(existsSync(place.at)).toBe(false);
  },
  120_000,
);

// "abstract names shared": each swap was rolled back by EADDRINUSE, since the old generation had the name.
test.skipIf(!isThere(BUILT.go))(
  "an abstract name: learned, shared by generations, taken over (needs Go)",
  async () => {
    using dir = tempDir();
    const place = await placeIn(dir.path, "unix");
    const name = `hupwatch-test-${crypto.randomUUID()}`;
    await using lives = new Lives([...INTERCEPT, "--", BUILT.go, `@${name}`], { cwd: place.directory });
    const version = async () => {
      const connection = await Connection.open(`unix:\0${name}`, 30_000);
      const answer = await connection.exchange(Buffer.from(ASKS), 30_000);
      await connection.close(0);
      return answer.body;
    };
    const first = await lives.start();
    expect(first.log).toContain(`generation 1 listens at unix:@${name}: held from now on`);
    expect(await version()).toBe("1");
    await first.swap(2);
    // Until then either may have the next connection.
    await first.until(LOG.gone(1));
    expect(await version()).toBe("2");
    first.signal("SIGKILL");
    await first.exited;
    expect(await version()).toBe("2");
    const second = await lives.start();
    expect(second.log).toContain("took over generation 2, which serves");
    await second.until(LOG.gone(2));
    expect(await version()).toBe("3");
    second.signal("SIGQUIT");
    await second.exited;
    await second.assertTreeGone();
    expect(await version().catch((error) => error.phase)).toBe("connect");
  },
  120_000,
);

const ASKS = "GET /version HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

/** Each address has a listener, and `stop` of the file's words closes none. */
const LISTENS = `
const http = require("http"), { readFileSync } = require("fs");
for (const at of readFileSync("at", "utf8").trim().split(" "))
  http.createServer((request, response) => response.end(process.env.HUPWATCH_GENERATION)).listen(...at.split(":").reverse().map((w, i) => i ? w : Number(w)));
`;

const ask = async (port: number) =>
  await (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false })).text();

test("an address that the next version has besides is held from then on", async () => {
  using dir = tempDir();
  const [main, young] = [await freePort(), await freePort()];
  writeFileSync(`${dir.path}/at`, `127.0.0.1:${main}`);
  await using hupwatch = await startHupwatch(["-k", ...INTERCEPT, "--", "node", "-e", LISTENS], {
    cwd: dir.path,
  });
  await hupwatch.until(new RegExp(`127.0.0.1:${main}: held`));
  writeFileSync(`${dir.path}/at`, `127.0.0.1:${main} 127.0.0.1:${young}`);
  await hupwatch.swap(2);
  await hupwatch.until(new RegExp(`127.0.0.1:${young}: held`));
  expect(await ask(main)).toBe("2");
  expect(await ask(young)).toBe("2");
  await hupwatch.swap(3);
  expect(await ask(young)).toBe("3");
}, 120_000);

// An outage that is a success: the port that clients use is bound last (Java: the management port first), and the old one was stopped before.
test.each([
  ["one of two addresses", (main: string, _: string) => main],
  ["another port", (_: string, young: string) => young],
])(
  "a new version that listens at %s is rolled back, and the old one never noticed",
  async (_, atLast) => {
    using dir = tempDir();
    const [main, old, young] = [await freePort(), await freePort(), await freePort()];
    writeFileSync(`${dir.path}/at`, `127.0.0.1:${main} 127.0.0.1:${old}`);
    await using hupwatch = await startHupwatch(
      // Longer than the time that it is given for addresses nobody needs.
      ["-k", ...INTERCEPT, "--ready-timeout", "7s", "--", "node", "-e", LISTENS],
      { cwd: dir.path },
    );
    await hupwatch.until(new RegExp(`127.0.0.1:${old}: held`));
    writeFileSync(`${dir.path}/at`, atLast(`127.0.0.1:${main}`, `127.0.0.1:${young}`));
    hupwatch.hup();
    await hupwatch.until(LOG.rolledBack);
    expect(hupwatch.log).toMatch(
      new RegExp(`it does not listen at .*127.0.0.1:${old}.*; to fix: let it listen`),
    );
    expect([await ask(main), await ask(old)]).toEqual(["1", "1"]);
  },
  120_000,
);

test("a new version that listens nowhere is rolled back, and the old one never noticed", async () => {
  using dir = tempDir();
  const port = await freePort();
  writeFileSync(`${dir.path}/at`, `127.0.0.1:${port}`);
  await using hupwatch = await startHupwatch(
    [
      "-k",
      ...INTERCEPT,
      "--ready-timeout",
      "5s",
      "--",
      "sh",
      "-c",
      `[ -e broken ] && exec sleep 1000; exec node -e '${LISTENS}'`,
    ],
    { cwd: dir.path },
  );
  await hupwatch.until(/held from now on/);
  writeFileSync(`${dir.path}/broken`, "");
  hupwatch.hup();
  await hupwatch.until(LOG.rolledBack);
  expect(hupwatch.log).toContain(`it does not listen at 127.0.0.1:${port}`);
  expect(await ask(port)).toBe("1");
}, 120_000);

test("port 0, UDP, and sockets in a directory that the command made are left to the command", async () => {
  using dir = tempDir();
  const own = `
    const net = require("net"), dgram = require("dgram"), fs = require("fs");
    net.createServer().listen(0, () => console.error("any port"));
    dgram.createSocket("udp4").bind(0, () => console.error("a datagram socket"));
    const mine = fs.mkdtempSync("mine-");
    net.createServer().listen(mine + "/agent.sock", () => console.error("an agent"));
    net.createServer((s) => s.end()).listen("lasting.sock", () => console.error("a path"));`;
  await using hupwatch = await startHupwatch(["-k", ...INTERCEPT, "--", "node", "-e", own], {
    cwd: dir.path,
  });
  for (const said of [/any port/, /a datagram socket/, /an agent/, /a path/]) await hupwatch.until(said);
  expect(hupwatch.count(/held from now on/)).toBe(1);
  expect(hupwatch.log).toContain(`generation 1 listens at unix:${dir.path}/lasting.sock: held from now on`);
}, 120_000);

test("what the kernel would refuse the command is refused", async () => {
  using dir = tempDir();
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  writeFileSync(`${dir.path}/file`, "");
  const tries = `
    const net = require("net");
    const tell = (what) => (error) => console.error(what, error.code);
    net.createServer().on("error", tell("taken")).listen(${taken.port}, "127.0.0.1");
    net.createServer().on("error", tell("file")).listen("file");
    net.createServer().on("error", tell("nowhere")).listen("nowhere/app.sock");
    net.createServer((s) => s.end()).listen("good.sock");`;
  await using hupwatch = await startHupwatch(["-k", ...INTERCEPT, "--", "node", "-e", tries], {
    cwd: dir.path,
  });
  await hupwatch.until(/taken EADDRINUSE/);
  await hupwatch.until(/file EADDRINUSE/);
  // libuv names it so where a directory is missing.
  await hupwatch.until(/nowhere (ENOENT|EACCES)/);
  taken.stop();
  await until(() => hupwatch.count(/held from now on/) === 1, { what: "the good one" });
}, 120_000);

test.skipIf(process.getuid?.() !== 0)(
  "what another user's command binds is made with that user's rights, and has its owner and mode in each generation",
  async () => {
    using dir = tempDir();
    chownSync(dir.path, NOBODY.uid, NOBODY.gid);
    const path = `${dir.path}/app.sock`;
    const binds = `
      const http = require("http"), fs = require("fs");
      http.createServer().on("error", (e) => console.error("port 80", e.code)).listen(80);
      http.createServer((q, r) => r.end(process.env.HUPWATCH_GENERATION)).listen("app.sock", () => fs.chmodSync("app.sock", 0o622));`;
    await using hupwatch = await startHupwatch(
      ["-k", ...INTERCEPT, "--user", "nobody", "--", "node", "-e", binds],
      { cwd: dir.path },
    );
    await hupwatch.until(/port 80 EACCES/);
    for (const generation of [1, 2, 3]) {
      if (generation > 1) await hupwatch.swap(generation);
      // It listens a moment before it sets the mode.
      await until(() => (statSync(path).mode & 0o777) === 0o622, { what: "the mode" });
      const { uid, gid } = statSync(path);
      expect({ uid, gid }).toEqual(NOBODY);
      const answer = await fetch("http://app/", { unix: path, keepalive: false });
      expect(await answer.text()).toBe(`${generation}`);
    }
  },
  120_000,
);

// As root in Docker, whose entrypoint changes the user: no CAP_SYS_PTRACE to read another user's memory with.
test.skipIf(process.getuid?.() !== 0)(
  "root without CAP_SYS_PTRACE reads with the caller's own rights",
  async () => {
    using dir = tempDir();
    chownSync(dir.path, NOBODY.uid, NOBODY.gid);
    const path = `${dir.path}/app.sock`;
    const binds = `
    const fs = require("fs");
    try { fs.unlinkSync("app.sock") } catch {}
    require("http").createServer((q, r) => r.end(process.env.HUPWATCH_GENERATION + process.getuid())).listen("app.sock");`;
    await using hupwatch = await startHupwatch(
      ["-k", ...INTERCEPT, "--", ...asUser(NOBODY, ["node", "-e", binds])],
      { cwd: dir.path, launcher: launcherWithoutPtrace(dir.path, LAUNCHER) },
    );
    for (const generation of [1, 2, 3]) {
      if (generation > 1) await hupwatch.swap(generation);
      const answer = await fetch("http://app/", { unix: path, keepalive: false });
      expect(await answer.text()).toBe(`${generation}${NOBODY.uid}`);
    }
  },
  120_000,
);

// "generation 2 ready in 5.01 s" of a server that listens after seven: nothing answered, and the reload was called a success.
test("a server that listens only after six seconds is ready no sooner, and its swap drops nothing", async () => {
  using dir = tempDir();
  const place = await placeIn(dir.path, "tcp");
  const words = ["sh", "-c", 'sleep 6; exec "$@"', "sh", "node", "node.mjs", place.at];
  await using hupwatch = await startHupwatch(["-k", ...INTERCEPT, "--", ...words], { cwd: place.directory });
  expect(Number(LOG.ready(1).exec(hupwatch.log)?.[1])).toBeGreaterThanOrEqual(6);
  await using load = await startLoad({ target: place.at, rate: 100, afterFirstOk: true });
  await hupwatch.swap(2);
  await load.version("2");
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0 });
}, 120_000);
