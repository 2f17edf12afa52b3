/** `hupwatch explain` warns of what a start would fail by: each time the start is tried, too, and has to say the same. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import type { Explanation } from "../../src/cli/explanation.ts";
import { holdAll } from "../../src/sockets/open.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { canBePowerless, copyForAll, makeUnwritable, powerless } from "../harness/another-user.ts";
import { cli, type Home, home } from "../harness/cli.ts";
import { freePort } from "../harness/free-port.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { Lives } from "../harness/lives.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { ROOT } from "../setup/places.ts";

setDefaultTimeout(120_000);

interface Place {
  cwd: string;
  home: Pick<Home, "env">;
  launcher?: string[];
}

async function hupwatch(words: string[], { cwd, home, launcher = [LAUNCHER] }: Place) {
  const child = Bun.spawn([...launcher, ...words], {
    cwd,
    env: { ...process.env, ...home.env, PWD: cwd },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { out, err, exitCode: await child.exited };
}

async function warningsOf(words: string[], place: Place): Promise<string[]> {
  const { out, err } = await hupwatch(["explain", "--json", ...words], place);
  expect(err).toBe("");
  return (JSON.parse(out) as Explanation).warnings;
}

/** The two lines on stderr as explain has them in one. */
async function refusalOf(words: string[], place: Place): Promise<string> {
  const { err, exitCode } = await hupwatch(words, place);
  expect(exitCode).toBeGreaterThanOrEqual(125);
  const [, message, hint] = /^hupwatch: (.*)\nTo fix: (.*)\n$/.exec(err) ?? [];
  expect({ err, message }).toEqual({ err, message: expect.any(String) });
  return `${message}. To fix: ${hint}`;
}

describe("in the words of the start", () => {
  const rows: [words: string[], said: string, prepare?: (cwd: string) => unknown][] = [
    [["-b", "unix:/nonexistent/dir/x.sock"], "no directory /nonexistent/dir. To fix: mkdir -p"],
    [["-b", "unix:app.sock"], "exists and is not a socket", (cwd) => writeFileSync(`${cwd}/app.sock`, "")],
    [["-b", "unix:app.sock"], "exists and is not a socket", (cwd) => mkdirSync(`${cwd}/app.sock`)],
    [["-b", "203.0.113.1:8000"], "this machine does not have that address"],
    [["-b", "no-host.invalid:8000"], "the name no-host.invalid does not have an address"],
    [["--run-dir", "/dev/null"], "the run directory /dev/null is not a directory"],
    [
      ["--run-dir", "open"],
      "is open to others. To fix: give --run-dir a directory that nothing else uses",
      (cwd) => mkdirSync(`${cwd}/open`, 0o755),
    ],
    [["-b", "fd://77"], "descriptor 77 of 'fd://77' is not open"],
  ];
  test.each(rows)("%j: %s", async (words, said, prepare = () => {}) => {
    using dir = tempDir();
    using own = home();
    prepare(dir.path);
    const before = readdirSync(dir.path);
    const place = { cwd: dir.path, home: own };
    const warnings = await warningsOf([...words, "--", "true"], place);
    expect(readdirSync(dir.path)).toEqual(before);
    expect(readdirSync(own.path)).toEqual([]);
    expect(warnings).toEqual([await refusalOf([...words, "--", "true"], place)]);
    expect(warnings[0]).toContain(said);
  });

  // "`--watch-path` and `--run-dir` with a typo are silently taken"
  test("paths below a directory that is not there, and one that is no file", async () => {
    using dir = tempDir();
    using own = home();
    const place = { cwd: dir.path, home: own };
    const rows = [
      [["--watch-path", "tpm/restart.txt"], `no directory ${dir.path}/tpm, so nothing can be touched there`],
      [["--watch-path", "."], `name a file in it: --watch-path ${dir.path}/restart.txt`],
      [["--run-dir", `${dir.path}/rnu/app`], `${dir.path}/rnu did not exist, and is created, too`],
    ] as const;
    for (const [words, said] of rows) {
      const warnings = await warningsOf([...words, "--", "true"], place);
      expect(warnings).toEqual([expect.stringContaining(said)]);
      expect((await cli([...words, "--", "true"], own, dir.path)).stderr).toContain(`warn: ${warnings[0]}`);
    }
    expect(await warningsOf(["--watch-path", "restart.txt", "--", "true"], place)).toEqual([]);
    expect(await warningsOf(["--run-dir", `${dir.path}/run`, "--", "true"], place)).toEqual([]);
  });

  test("a port that a stranger has, also by every address and for sharing; no client comes to it", async () => {
    using dir = tempDir();
    using own = home();
    const port = await freePort();
    let met = 0;
    using _stranger = Bun.listen({
      hostname: "127.0.0.1",
      port,
      socket: { open: () => void met++, data() {} },
    });
    for (const words of [
      ["-b", `127.0.0.1:${port}`],
      ["-b", `:${port}`],
      ["--cutover", "share", "-b", `:${port}`],
    ]) {
      const place = { cwd: dir.path, home: own };
      const warnings = await warningsOf([...words, "--", "true"], place);
      expect(warnings).toEqual([await refusalOf([...words, "--", "true"], place)]);
      expect(warnings[0]).toContain("the port is taken");
    }
    const free = await warningsOf(["-b", `127.0.0.2:${port}`, "--", "true"], { cwd: dir.path, home: own });
    expect({ free, met }).toEqual({ free: [], met: 0 });
  });

  test("a Unix path and an abstract name that a stranger has", async () => {
    using dir = tempDir();
    using own = home();
    using _path = Bun.listen({ unix: `${dir.path}/app.sock`, socket: { data() {} } });
    const held = await holdAll({
      specs: [parseSpec(`unix:@${dir.path}`, "/")],
      options: { backlog: 1 },
      cutover: "share",
    });
    using _name = held[0];
    for (const [bind, said] of [
      ["unix:app.sock", `process ${process.pid} listens on it`],
      [`unix:@${dir.path}`, "the name is taken"],
    ] as const) {
      const place = { cwd: dir.path, home: own };
      const warnings = await warningsOf(["-b", bind, "--", "true"], place);
      expect(warnings).toEqual([await refusalOf(["-b", bind, "--", "true"], place)]);
      expect(warnings[0]).toContain(said);
    }
  });

  test.skipIf(!canBePowerless)("port 80 and a directory of others, without root's rights", async () => {
    using dir = tempDir();
    using own = home();
    using copy = copyForAll();
    makeUnwritable(`${dir.path}/theirs`);
    const env = { ...own.env, ...copy.env };
    const place = { cwd: dir.path, home: { env }, launcher: powerless([copy.launcher]) };
    for (const [bind, said] of [
      [":80", "ports below 1024 require CAP_NET_BIND_SERVICE, which this process does not have"],
      ["unix:theirs/app.sock", "theirs is not writable"],
    ] as const) {
      const warnings = await warningsOf(["-b", bind, "--", "true"], place);
      expect(warnings).toEqual([await refusalOf(["-b", bind, "--", "true"], place)]);
      expect(warnings[0]).toContain(said);
    }
  });

  test("every obstacle is a warning, not only the first one", async () => {
    using dir = tempDir();
    using own = home();
    const words = ["-b", "unix:a/x.sock", "-b", "unix:b/y.sock", "--", "no-such-command"];
    const warnings = await warningsOf(words, { cwd: dir.path, home: own });
    expect(warnings.map((w) => /no-such-command|a\/x|b\/y/.exec(w)?.[0])).toEqual([
      "no-such-command",
      "a/x",
      "b/y",
    ]);
  });
});

test.each(["unix:app.sock", "TCP"])(
  "the one that runs is named; what it has left is not in the way (%s)",
  async (bind) => {
    using dir = tempDir();
    using own = home();
    const address = bind === "TCP" ? `127.0.0.1:${await freePort()}` : bind;
    const words = ["-b", address, "--", process.execPath, `${ROOT}/fixtures/apps/tiny.ts`];
    const place = { cwd: dir.path, home: own };
    expect(await warningsOf(words, place)).toEqual([]);
    const options = { cwd: dir.path, env: own.env };
    await using lives = new Lives(words, options);
    const first = await lives.start();
    const warnings = await warningsOf(words, place);
    expect(warnings).toEqual([await refusalOf(words, place)]);
    expect(warnings[0]).toContain(`is already running as process ${first.pid}`);

    first.signal("SIGTERM");
    await first.exited;
    expect(await warningsOf(words, place)).toEqual([]);
    expect(await warningsOf(["--name", "renamed", ...words], place)).toEqual([]);
    const successor = await lives.start(["-k", ...words]);
    expect(successor.log).toMatch(LOG.tookOver(1));
  },
);
