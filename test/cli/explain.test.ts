/** `hupwatch explain`: what is said is what a run does, in 80 columns or as JSON, and nothing is run. */
import { describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Explanation } from "../../src/cli/explanation.ts";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { tempDir } from "../harness/temp-dir.ts";

function run(words: string[], cwd: string, env: Record<string, string> = {}) {
  const done = Bun.spawnSync([LAUNCHER, "explain", ...words], {
    cwd,
    env: {
      PATH: `${cwd}:${process.env.PATH}`,
      PWD: cwd,
      HUPWATCH_BUN: process.execPath,
      XDG_RUNTIME_DIR: cwd,
      ...env,
    },
  });
  return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
}

const explained = (words: string[], cwd: string, env?: Record<string, string>): Explanation =>
  JSON.parse(run(["--json", ...words], cwd, env).out) as Explanation;

/** waitress is called from Python: which one, its script says. */
const shebangOf = (name: string) => (name === "waitress-serve" ? "#!/usr/bin/env python3" : "#!/bin/sh");

/** A directory with programs that leave a trace if they are run. */
function place(...programs: string[]) {
  const dir = tempDir();
  for (const name of programs)
    writeFileSync(`${dir.path}/${name}`, `${shebangOf(name)}\ntouch ${dir.path}/ran\n`, { mode: 0o755 });
  return dir;
}

describe("a server that takes a descriptor number", () => {
  test("its words, filled for generation 1, and what is different in them", () => {
    using dir = place("uvicorn");
    const e = explained(["--", "uvicorn", "app:app", "--uds", "a.sock"], dir.path);
    expect(e.command.run).toEqual(["uvicorn", "app:app", "--fd", "3"]);
    expect(e.sockets).toEqual([
      {
        name: "a.sock",
        bind: `unix:${dir.path}/a.sock`,
        cutover: { mode: "steer" },
        descriptor: 3,
        own: `${dir.path}/.a.sock.hupwatch-PID-1-RANDOM`,
      },
    ]);
    expect(e).toMatchObject({ handover: "argv", warnings: [], stop: { sequence: "TERM/60s/KILL" } });
    expect(e.checks).toMatchObject([{ check: "http", proof: true }]);
    expect(readdirSync(dir.path)).toEqual(["uvicorn"]);
  });

  test("for people it fits 80 columns, but for what has to be copied whole", () => {
    using dir = place("uvicorn");
    const { out, code } = run(["--", "uvicorn", "app:app", "--uds", "a.sock"], dir.path);
    expect(code).toBe(0);
    expect(out).toMatch(/^Server {7}uvicorn, recognised by 'uvicorn'\n/);
    expect(out).toContain("without  --uds a.sock\n");
    expect(out).toContain("with     --fd 3\n");
    const tooLong = out.split("\n").filter((line) => line.length > 80 && !line.includes("://"));
    expect(tooLong).toEqual([]);
  });
});

test("what TERM does, the delay before it included", () => {
  using dir = place("server");
  const words = ["-k", "--stop-delay", "5s", "--", "server"];
  expect(explained(words, dir.path)).toMatchObject({ killAtExit: true, stopDelayMs: 5000 });
  const { out } = run(words, dir.path);
  expect(out).toMatch(/after TERM it goes on accepting for 5\.00 s, then it is stopped\s+\(--stop-delay\)/);
  expect(run(["-k", "--", "server"], dir.path).out).not.toContain("--stop-delay");
});

// "`explain -- nosuch` exits 0."
test("a command that a start could not run ends with the start's exit code, and is explained", () => {
  using dir = place("server");
  writeFileSync(`${dir.path}/plain`, "x", { mode: 0o644 });
  for (const [words, code, said] of [
    [["nosuch"], 127, /command not found: 'nosuch'/],
    [["./plain"], 126, /not executable/],
    [["server"], 0, /^Server/],
  ] as const) {
    const { out, code: got } = run(["--", ...words], dir.path);
    expect(out).toMatch(said);
    expect(out).toContain("Ready when");
    expect(got).toBe(code);
  }
});

// "`--max-age 1` becomes 60 s silently."
test("the value in effect, if the kernel or a rule reduces one", () => {
  using dir = place("server");
  const [most] = readFileSync("/proc/sys/net/core/somaxconn", "utf8").split("\n");
  const words = ["-b", "unix:a.sock", "-w", "0", "--max-age", "5s", "--backlog", "1000000", "--", "server"];
  const { out } = run(words, dir.path);
  const flat = out.replaceAll(/\s+/g, " ");
  expect(flat).toContain(
    "--max-age 5.00 s is exact only for the first generation: later ones serve for 1 m 00 s",
  );
  expect(flat).toContain(`--backlog 1000000: the kernel reduces it to ${most};`);
  expect(flat).toContain("both serve for 0.50 s");
  expect(explained(["--max-age", "60", "-b", "unix:a.sock", "--", "server"], dir.path).warnings).toEqual([]);
});

// "`explain --user www-data` does not name the user or its environment at all."
test.skipIf(process.getuid?.() !== 0)(
  "as which user and group the command runs, with which umask, and what of its environment is that user's",
  () => {
    using dir = place("server");
    chmodSync(dir.path, 0o755);
    const e = explained(["--user", "daemon", "--umask", "027", "--", "server"], dir.path, { HOME: "/root" });
    expect(e.identity).toEqual({ user: "daemon", uid: 1, group: "daemon", gid: 1, umask: "0027" });
    expect(e.environment.set).toMatchObject({ HOME: "/usr/sbin", USER: "daemon", LOGNAME: "daemon" });
    const { out } = run(["--user", "12345", "--group", "daemon", "--umask", "000", "--", "server"], dir.path);
    expect(out).toContain("Runs as      user 12345, group daemon (1), umask 0000\n");
  },
);

describe("a server that takes LISTEN_FDS", () => {
  test("its environment, and what hupwatch keeps for itself", () => {
    using dir = place("server");
    const words = ["-b", "web=:8080", "-b", "admin=unix:b.sock", "--", "server"];
    const e = explained(words, dir.path, { NOTIFY_SOCKET: "/run/x", KEPT: "1" });
    expect(e.environment.set).toMatchObject({
      LISTEN_FDS: "2",
      LISTEN_FDNAMES: "web:admin",
      LISTEN_PID: "<its pid>",
      HUPWATCH_GENERATION: "1",
    });
    expect(e.environment.removed).toEqual(["NOTIFY_SOCKET"]);
    expect(e.sockets.map((s) => s.descriptor)).toEqual([3, 4]);
  });

  test("why a socket is not steered, and that a check proves nothing then", () => {
    using dir = place("server");
    const e = explained(["-b", "unix:@x", "--", "server"], dir.path);
    expect(e.sockets[0]?.cutover).toEqual({
      mode: "share",
      why: "an abstract socket has no path that could be renamed",
    });
    expect(e.checks).toMatchObject([{ check: "connect", proof: false }]);
    const shared = explained(["-b", ":1", "--cutover", "share", "--", "server"], dir.path);
    expect(shared.sockets[0]?.cutover).toMatchObject({ why: "requested by --cutover share" });
  });
});

describe("a shared listener that any generation may answer from", () => {
  const share = (...words: string[]) => ["--cutover", "share", ...words];

  test.each([
    ["hypercorn app:app -b :80", "hypercorn app:app --bind fd://3 --bind fd://4"],
    ["uwsgi -s :80 -w app", "uwsgi -w app --socket fd://3 --socket fd://4 --master"],
    ["daphne -p 80 app:app", "daphne app:app -e systemd:domain=INET:index=0 -e systemd:domain=UNIX:index=1"],
    ["waitress-serve --unix-socket=a.sock app:app", " 3,4 app:app"],
    ["gunicorn app:app -b :80", "gunicorn app:app -b :80"],
  ])("one more of its own proves which generation answers: %s", (given, run) => {
    using dir = place(given.split(" ")[0] ?? "");
    const e = explained(share("--", ...given.split(" ")), dir.path);
    expect(e.command.run.join(" ")).toContain(run);
    expect(e.checks).toMatchObject([{ proof: true, why: expect.stringContaining("private listener") }]);
    const steered = explained(["--", ...given.split(" ")], dir.path);
    expect(steered.command.run.join(" ")).not.toMatch(/fd:\/\/4|index=1|3,4/);
  });

  test.each([
    "waitress-serve --listen=:80 app:app",
    "uvicorn app:app",
    "cheroot app:app --bind 127.0.0.1:80",
    "hypercorn app:app -b fd://{fd}",
  ])("servers that cannot take one: %s", (given) => {
    using dir = place(given.split(" ")[0] ?? "");
    const e = explained(share("--bind", ":80", "--", ...given.split(" ")), dir.path);
    expect(e.checks).toMatchObject([{ proof: false }]);
  });

  test("a program asks for it by its name", () => {
    using dir = place("server");
    const e = explained(share("-b", ":1", "--", "server", "{fd}", "{fd:hupwatch-probe}"), dir.path);
    expect(e.command.run).toEqual(["server", "3", "4"]);
    expect(e.checks).toMatchObject([{ proof: true }]);
    const wish = "PROBE={fd:hupwatch-probe}";
    const systemd = explained(share("-b", "web=:1", "--", "env", wish, "server"), dir.path);
    expect(systemd.environment.set).toMatchObject({ LISTEN_FDS: "2", LISTEN_FDNAMES: "web:hupwatch-probe" });
    expect(systemd.command.run).toEqual(["env", "PROBE=4", "server"]);
    // The words of a server that is known are still its adapter's.
    const known = explained(share("-b", ":1", "--", "env", wish, "hypercorn", "app:app"), dir.path);
    expect(known.command.run.join(" ")).toBe("env PROBE=4 hypercorn app:app --bind fd://3 --bind fd://4");
  });
});

test.each([
  ["unix:a.sock", "steer", ".a.sock.hupwatch-PID-1-RANDOM"],
  ["unix:a.sock", "share", ".a.sock.hupwatch-PID-0-RANDOM"],
  ["web=unix:a.sock", "share", ".a.sock.hupwatch-PID-0-RANDOM"],
])("{socket} is a path and nothing before it: %s, %s", (bind, cutover, path) => {
  using dir = place("server");
  const e = explained(["-b", bind, "--cutover", cutover, "--", "server", "{fd}", "{socket}"], dir.path);
  expect(e.command.run).toEqual(["server", "3", `${dir.path}/${path}`]);
});

test.each([
  ["unix:@x", "@x"],
  ["web=127.0.0.1:80", "127.0.0.1:80"],
  ["web=[::1]:80", "[::1]:80"],
])("{socket} is written without a scheme: %s", (bind, written) => {
  using dir = place("server");
  const e = explained(["-b", bind, "--", "server", "{fd}", "{socket}"], dir.path);
  expect(e.command.run).toEqual(["server", "3", written]);
});

describe("warnings", () => {
  test.each([
    [["gunicorn", "a:a", "--pid", "g.pid"], /fight over the pid file \S+\/g\.pid/],
    [["gunicorn", "a:a", "--daemon"], /--daemon makes gunicorn leave/],
    [["gunicorn", "a:a", "--reuse-port"], /--reuse-port is left out/],
    [["uv", "run", "gunicorn", "a:a"], /'uv run' stays/],
    [["no-such-program"], /command not found: 'no-such-program'/],
  ])("%j", (words, warning) => {
    using dir = place("gunicorn", "uv");
    expect(explained(["--", ...words], dir.path).warnings.join("\n")).toMatch(warning);
    expect(readdirSync(dir.path)).not.toContain("ran");
  });

  test("a shell hides the server, where its bind is not seen", () => {
    using dir = place("gunicorn");
    const words = ["--", "sh", "-c", "gunicorn a:a"];
    const hides = /a shell hides the server/;
    expect(explained(["--handover", "none", ...words], dir.path).warnings.join("\n")).toMatch(hides);
    expect(explained(words, dir.path)).toMatchObject({ handover: "intercept", warnings: [] });
  });

  // "explain does not warn for unknown wrappers (entry.sh, make, timeout)"
  test.each([
    ["./entry.sh", /'entry.sh' hides the server/],
    ["make", /'make' stays/],
    ["timeout", /'timeout' stays/],
  ])("%s in front, where the server's bind is not seen", (wrapper, warning) => {
    using dir = place("make", "timeout", "entry.sh");
    const words = ["--", wrapper, "run"];
    expect(explained(["--handover", "none", ...words], dir.path).warnings.join("\n")).toMatch(warning);
    expect(explained(words, dir.path)).toMatchObject({ handover: "intercept" });
  });

  // "prints Go/Rust hints for npm/make"
  test("what a program in Go or Rust does with a descriptor is told where one is handed over", () => {
    using dir = place("server");
    const hints = (...options: string[]) =>
      explained([...options, "--", "server"], dir.path)
        .quirks.map(({ what }) => what)
        .join("\n");
    expect(hints()).not.toMatch(/Go:|Rust:/);
    expect(hints("--handover", "systemd", "-b", ":8000")).toMatch(/Go: .*\nRust:/);
  });

  test("gunicorn's pid file gets the generation's number", () => {
    using dir = place("gunicorn");
    const { command } = explained(["--", "gunicorn", "a:a", "-p", "g.pid", "-w", "2"], dir.path);
    expect(command.run).toEqual(["gunicorn", "a:a", "-w", "2", "--pid=g.pid.1"]);
  });

  test("the control socket of a gunicorn that has one is left out, or gets the number", () => {
    using dir = place("gunicorn", "gunicornc");
    const plain = explained(["--", "gunicorn", "a:a"], dir.path);
    expect(plain.command.run).toEqual(["gunicorn", "a:a", "--no-control-socket"]);
    const named = explained(["--", "gunicorn", "a:a", "--control-socket", "/c"], dir.path);
    expect(named.command.run.at(-1)).toBe("--control-socket=/c.1");
  });
});

test.each([
  [["--"], /no command to run/],
  [["-b", "nonsense", "--", "server"], /cannot bind 'nonsense'/],
  [["-b", ":1", "-b", ":2", "--", "cheroot", "a:a"], /cheroot takes one socket/],
  [["--cutover", "share", "--", "daphne", "-u", "a.sock", "a:a"], /daphne .* cannot share the Unix socket/],
  [
    ["-b", "unix:@x", "--", "daphne", "a:a"],
    /cannot share the Unix socket 'unix:@x': it shuts the socket down/,
  ],
  [["--no-such", "--", "server"], /no-such/],
  [["--jsn", "--", "server"], /did you mean --json\?/],
  [["--log-format", "xml", "--", "server"], /--log-format 'xml' is not known/],
  [["--hook", "ready", "--", "server"], /--hook 'ready' is not a hook/],
  [["--hook-timeout", "x", "--", "server"], /--hook-timeout: 'x' is not a duration/],
  [["--respawn-limit", "x", "--", "server"], /--respawn-limit 'x' is not a limit/],
])("%j is a usage error", (words, message) => {
  using dir = place("server");
  const { code, err } = run(words, dir.path);
  expect(err).toMatch(message);
  expect(err).toContain("To fix: ");
  expect(code).toBe(2);
});
