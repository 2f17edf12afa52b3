/**
 * Bad input, as a user types it, through the launcher: one sentence that names the value, the way out, the right exit
 * code, and nothing left behind.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { type Copy, canBePowerless, copyForAll, makeUnwritable, powerless } from "../harness/another-user.ts";
import { cli, home } from "../harness/cli.ts";
import { freePort } from "../harness/free-port.ts";
import { type StartOptions, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

interface Refusal {
  exitCode: number;
  message: string;
  hint: string;
}

/** Starts it in an empty directory, where it has to fail with two lines and leave all as it was. */
async function refused(
  args: string[],
  { prepare = () => {}, ...options }: StartOptions & { prepare?: (dir: string) => unknown } = {},
): Promise<Refusal> {
  using dir = tempDir();
  await prepare(dir.path);
  const before = readdirSync(dir.path, { recursive: true }).sort();
  await using hupwatch = spawnHupwatch(args, { cwd: dir.path, ...options });
  const exitCode = await hupwatch.exited;
  await hupwatch.assertTreeGone();
  expect(readdirSync(dir.path, { recursive: true }).sort()).toEqual(before);
  expect(hupwatch.output).toBe("");
  const lines = hupwatch.log.trimEnd().split("\n");
  expect(lines).toHaveLength(2);
  const [message = "", hint = ""] = lines;
  expect(message).toStartWith("hupwatch: ");
  expect(hint).toStartWith("To fix: ");
  return { exitCode, message: message.slice("hupwatch: ".length), hint: hint.slice("To fix: ".length) };
}

const LONG = `/${"x".repeat(107)}`;
const TRUE = ["--", "true"];

describe("options", () => {
  const rows: [words: string[], message: string, hint: string][] = [
    [["--nonsense", ...TRUE], "'--nonsense'", "--help"],
    [["-z", ...TRUE], "'-z'", "--help"],
    [["--no-bind", ...TRUE], "bind", "--help"],
    [["--bind"], "option --bind needs a value", "see 'hupwatch --help'"],
    [["-b"], "option --bind needs a value", "see 'hupwatch --help'"],
    [["--bnd", "x", ...TRUE], "unknown option '--bnd'", "did you mean --bind? Else see 'hupwatch --help'"],
    [["run", "--user-dir", "x", ...TRUE], "unknown option '--user-dir'", "see 'hupwatch --help'"],
    // What gunicorn, supervisord, systemd and docker call it; `--pid` was said to be --bind, and `--config` to be --confirm.
    [["--pid", "x", ...TRUE], "unknown option '--pid'", "it is --pidfile FILE here. Else"],
    [
      ["--config", "x", ...TRUE],
      "unknown option '--config'",
      "there is no configuration file: give options.",
    ],
    [["-e", "A=1", ...TRUE], "unknown option '-e'", "--env-file FILE, or env NAME=VALUE"],
    [["--restart", "always", ...TRUE], "unknown option '--restart'", "--on-crash respawn"],
    [
      ["--workers", "4", ...TRUE],
      "unknown option '--workers'",
      "options of the command stand behind the command",
    ],
    [
      ["--user", "nobody:nogroup", ...TRUE],
      "--user 'nobody:nogroup' is not a user",
      "--user nobody --group nogroup",
    ],
    [["--quiet=1", ...TRUE], "option --quiet takes no value", "--help"],
    [[], "no command to run", "hupwatch -- "],
    [["--"], "no command to run", "hupwatch -- "],
    [["-w", "soon", ...TRUE], "--warmup-time: 'soon' is not a duration", "200ms"],
    [["--warmup-time", "-1", ...TRUE], "one that begins with a dash: write that as --warmup-time=VALUE", ""],
    [["--warmup-time=-1", ...TRUE], "--warmup-time: '-1' is not a duration", "200ms"],
    [["-w", "", ...TRUE], "--warmup-time '' is empty", "is a variable not set?"],
    [["--group", "", ...TRUE], "--group '' is empty", "is a variable not set?"],
    [["--chdir=", ...TRUE], "--chdir '' is empty", "is a variable not set?"],
    [["-b", "unix:a.sock", "-b", "", ...TRUE], "--bind '' is empty", "is a variable not set?"],
    [["--ready-timeout", "1d", ...TRUE], "--ready-timeout: '1d' is not a duration", "1h"],
    [["--ready-timeout", "9999h", ...TRUE], "'9999h'", "24 days"],
    [["--stop-signal", "FOO", ...TRUE], "--stop-signal 'FOO': 'FOO' is not a signal", "TERM/30s/KILL"],
    [["--stop-signal", "TERM/x", ...TRUE], "--stop-signal TERM/x: 'x' is not a duration", "5s"],
    [["--stop-signal", "", ...TRUE], "--stop-signal '' is empty", "leave it out"],
    [["--respawn-limit", "5", ...TRUE], "--respawn-limit '5' is not a limit", "5/60s"],
    [["--umask", "9", ...TRUE], "--umask '9' is not a file mode", "e.g. 0027"],
    // "`--group nosuch` is quoted as ':nosuch'"
    [["--group", "nosuch", ...TRUE], "--group 'nosuch': no such group", "give its name or number"],
    [["--ready", "nonsense", ...TRUE], "--ready 'nonsense' is not a readiness check", "connect"],
    [["--ready", "http:x", ...TRUE], "--ready 'http:x'", "http:/path"],
    [["--ready", "delay:x", ...TRUE], "'x' is not a duration", "5s"],
    [
      ["--handover", "none", "--ready", "connect", ...TRUE],
      "--ready connect has no socket to probe",
      "--bind",
    ],
    [["--socket-mode", "9", ...TRUE], "--socket-mode '9' is not a file mode", "0660"],
    [["--socket-owner", "no-such-user", ...TRUE], "--socket-owner 'no-such-user'", "getent"],
    [["--socket-owner", ":no-such-group", ...TRUE], "--socket-owner ':no-such-group'", "getent"],
    [["--backlog", "many", ...TRUE], "--backlog 'many'", "whole number"],
    [["--backlog", "0", ...TRUE], "--backlog '0' is not a number from 1", "whole number"],
    [["--max-draining", "0", ...TRUE], "--max-draining '0' is not a number from 1", "whole number"],
    [["--handover", "magic", ...TRUE], "--handover 'magic' is not known", "systemd"],
    [["--cutover", "hard", ...TRUE], "--cutover 'hard' is not known", "steer, share"],
    [["--log-format", "xml", ...TRUE], "--log-format 'xml' is not known", "text, json"],
    [["--name", "a b", ...TRUE], "--name 'a b' is not a name", "letters"],
    [["--name", "../x", ...TRUE], "--name '../x' is not a name", "letters"],
    [["--chdir", "/no/such", ...TRUE], "no directory /no/such", "--chdir"],
    [["--env-file", "no.env", ...TRUE], "no.env", "correct the path"],
    [["--pidfile", "/no/such/pid", ...TRUE], "/no/such/pid", "directory"],
    // "`--pidfile` hint for a directory is wrong"
    [["--pidfile", "/tmp", ...TRUE], "/tmp: it is a directory", "name a file in it, e.g. /tmp/hupwatch.pid"],
    [["--pidfile", "/dev/null/pid", ...TRUE], "/dev/null/pid", "is not a directory"],
    // "`--max-memory 1` (one byte? surely meant a unit) is taken without a word"
    [["--max-memory", "1", ...TRUE], "--max-memory '1' is 1 byte", "write the unit: 1m, 1g"],
    [["--max-memory", "10k", ...TRUE], "--max-memory '10k' is 10240 bytes", "512m"],
    // In systemd 0 is no limit. Here it was no time at all, and each start failed.
    [["--ready-timeout", "0", ...TRUE], "--ready-timeout '0' is too short", "at least 1ms"],
    [["--hook-timeout", "0", ...TRUE], "--hook-timeout '0' is too short", "at least 1ms"],
    [["--confirm", "0", ...TRUE], "--confirm '0' is too short", "at least 1ms"],
    [["--keep", "0s", ...TRUE], "--keep '0s' is too short", "at least 1ms"],
    [["--max-age", "0", ...TRUE], "--max-age '0' is too short", "at least 1ms"],
    [["--respawn-limit", "5/0", ...TRUE], "--respawn-limit 5/0: '0' is too short", "at least 1ms"],
    [
      ["--run-dir", "/proc/no/such", ...TRUE],
      "the run directory /proc/no/such",
      "choose another one with --run-dir",
    ],
    [["--run-dir", "/dev/null", ...TRUE], "the run directory /dev/null is not a directory", "--run-dir"],
    [["--run-dir", "/dev/null/x", ...TRUE], "/dev/null/x", "--run-dir"],
  ];
  test.each(rows)("%j", async (words, message, hint) => {
    const refusal = await refused(words);
    expect(refusal.exitCode).toBe(125);
    expect(refusal.message).toContain(message);
    expect(refusal.hint).toContain(hint);
  });

  test("a run directory that is open to others", async () => {
    using dir = tempDir();
    chmodSync(dir.path, 0o755);
    const { message, hint } = await refused(["--run-dir", dir.path, ...TRUE]);
    expect(message).toBe(`the run directory ${dir.path} is open to others`);
    // Somebody may have named /tmp: chmod alone would be bad advice.
    expect(hint).toBe(
      `give --run-dir a directory that nothing else uses, for example ${dir.path}/hupwatch; if it is one, chmod 700 ${dir.path}`,
    );
  });
});

describe("binds", () => {
  const rows: [bind: string, message: string, hint: string, prepare?: (dir: string) => unknown][] = [
    ["nonsense", "not a socket that can be held", "use unix:/path"],
    ["8000", "not a socket that can be held", "did you mean :8000? Else use"],
    ["/tmp/x.sock", "not a socket that can be held", "did you mean unix:/tmp/x.sock?"],
    ["http://127.0.0.1:8000/", "not a socket that can be held", "did you mean 127.0.0.1:8000?"],
    [`unix:${LONG}`, "not a socket that can be held", "108 bytes, and the kernel allows 107"],
    [
      "unix:app.sock",
      "exists and is not a socket",
      "remove it",
      (dir) => writeFileSync(`${dir}/app.sock`, "x"),
    ],
    ["unix:app.sock", "exists and is not a socket", "remove it", (dir) => mkdirSync(`${dir}/app.sock`)],
    ["unix:a/b.sock", "no directory", "mkdir -p"],
    ["unix:a/b.sock", "no directory", "mkdir -p", (dir) => writeFileSync(`${dir}/a`, "")],
    ["127.0.0.1:65536", "not a socket that can be held", "65535"],
    ["203.0.113.1:80", "does not have that address", "ip addr"],
    ["fd://77", "descriptor 77", "--bind"],
  ];
  test.each(rows)("%s: %s", async (bind, message, hint, prepare = () => {}) => {
    const refusal = await refused(["-b", bind, ...TRUE], { prepare });
    expect(refusal.exitCode).toBe(125);
    expect(refusal.message).toContain(`'${bind}'`);
    expect(refusal.message).toContain(message);
    expect(refusal.hint).toContain(hint);
  });

  test("two of one name", async () => {
    const { exitCode, message } = await refused(["-b", "a=:1", "-b", "a=:2", ...TRUE]);
    expect([exitCode, message]).toEqual([125, "'a=:1' and 'a=:2' have the same name a"]);
  });

  test("a port that is taken", async () => {
    const port = await freePort();
    using _stranger = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
    const refusal = await refused(["-b", `127.0.0.1:${port}`, ...TRUE]);
    expect(refusal).toMatchObject({
      exitCode: 125,
      message: `cannot bind '127.0.0.1:${port}': the port is taken`,
    });
  });

  test("a live Unix socket of another process", async () => {
    using dir = tempDir();
    using _stranger = Bun.listen({ unix: `${dir.path}/live.sock`, socket: { data() {} } });
    const refusal = await refused(["-b", `unix:${dir.path}/live.sock`, ...TRUE]);
    expect(refusal).toMatchObject({
      exitCode: 125,
      message: `cannot bind 'unix:${dir.path}/live.sock': process ${process.pid} listens on it`,
    });
    expect(readdirSync(dir.path)).toEqual(["live.sock"]);
  });

  test("a shared path is let go where something behind it fails", async () => {
    const words = ["--cutover", "share", "-b", "unix:app.sock", "--pidfile", "/no/such/pid", ...TRUE];
    expect((await refused(words)).message).toContain("/no/such/pid");
  });

  test("a placeholder that names no socket", async () => {
    const refusal = await refused(["-b", "web=127.0.0.1:0", "--", "true", "{fd:api}"]);
    expect(refusal.exitCode).toBe(125);
    expect(refusal.message).toContain("{fd:api} names no held socket");
  });

  describe.skipIf(!canBePowerless)("without root's rights", () => {
    let copy: Copy;
    beforeAll(() => {
      copy = copyForAll();
    });
    afterAll(() => copy[Symbol.dispose]());

    /** The harness starts a file. */
    function weakLauncher(dir: string): string {
      const path = `${dir}/weak`;
      const command = powerless([copy.launcher]).join(" ");
      writeFileSync(path, `#!/bin/sh\nHUPWATCH_BUN=${copy.bun} exec ${command} "$@"\n`, { mode: 0o755 });
      return path;
    }

    test("port 80", async () => {
      using dir = tempDir();
      const refusal = await refused(["-b", ":80", ...TRUE], { launcher: weakLauncher(dir.path) });
      expect(refusal).toMatchObject({
        exitCode: 125,
        message:
          "cannot bind ':80' (0.0.0.0:80): ports below 1024 require CAP_NET_BIND_SERVICE, which this process does not have",
      });
      expect(refusal.hint).toContain("CAP_NET_BIND_SERVICE");
    });

    test.each([
      [["--user", "nobody"], "--user nobody"],
      [["--user", "nobody", "--group", "daemon"], "--user nobody --group daemon"],
      [["--group", "daemon"], "--group daemon"],
    ])("%j", async (options, named) => {
      using dir = tempDir();
      const words = [...options, "-b", "unix:app.sock", ...TRUE];
      const refusal = await refused(words, { launcher: weakLauncher(dir.path) });
      expect(refusal.exitCode).toBe(125);
      expect(refusal.message).toMatch(new RegExp(`^cannot run 'true' with ${named}: set.*not permitted$`));
      expect(refusal.hint).toContain("CAP_SETUID");
    });

    test("a socket that is to be another user's", async () => {
      using dir = tempDir();
      const words = ["--socket-owner", "daemon:daemon", "-b", "unix:app.sock", ...TRUE];
      await using hupwatch = spawnHupwatch(words, {
        cwd: dir.path,
        launcher: weakLauncher(dir.path),
      });
      expect(await hupwatch.exited).toBe(125);
      expect(hupwatch.log).toContain(`cannot change the owner of the socket in ${dir.path}: EPERM`);
      expect(hupwatch.log).toMatch(/only root .*may give a socket away/);
      expect(readdirSync(dir.path)).toEqual(["weak"]);
    });

    test("a directory that is not writable", async () => {
      using dir = tempDir();
      const refusal = await refused(["-b", "unix:theirs/app.sock", ...TRUE], {
        launcher: weakLauncher(dir.path),
        prepare: (cwd) => makeUnwritable(`${cwd}/theirs`),
      });
      expect(refusal.exitCode).toBe(125);
      expect(refusal.message).toMatch(/^cannot bind 'unix:theirs\/app.sock': .*\/theirs is not writable$/);
    });

    test("a directory that may not be looked into", async () => {
      using dir = tempDir();
      const refusal = await refused(["-b", "unix:shut/app.sock", ...TRUE], {
        launcher: weakLauncher(dir.path),
        prepare: (cwd) => {
          makeUnwritable(`${cwd}/shut`);
          chmodSync(`${cwd}/shut`, 0o444);
        },
      });
      expect(refusal.exitCode).toBe(125);
      expect(refusal.message).toContain("'unix:shut/app.sock'");
    });
  });
});

describe("commands", () => {
  const rows: [command: string[], exitCode: number, message: string, prepare?: (dir: string) => unknown][] = [
    [["no-such-command"], 127, "command not found: 'no-such-command'"],
    [["./no-such-file"], 127, "command not found: './no-such-file'"],
    [["/no/such/file"], 127, "command not found: '/no/such/file'"],
    [["./plain"], 126, "cannot run './plain'", (dir) => writeFileSync(`${dir}/plain`, "")],
    [["./dir"], 126, "cannot run './dir': it is a directory", (dir) => mkdirSync(`${dir}/dir`)],
    [[""], 127, "command not found: ''"],
    [
      ["./file/x"],
      127,
      "command not found: './file/x'",
      (dir) => writeFileSync(`${dir}/file`, "", { mode: 0o755 }),
    ],
  ];
  test.each(rows)("%j: %d", async (command, exitCode, message, prepare = () => {}) => {
    for (const options of [[], ["-b", "unix:app.sock"]]) {
      const refusal = await refused([...options, "--", ...command], { prepare });
      expect(refusal.exitCode).toBe(exitCode);
      expect(refusal.message).toContain(message);
    }
  });
});

test("a line of the env file that says nothing is warned of, once for each generation", async () => {
  using dir = tempDir();
  const envFile = `${dir.path}/env`;
  writeFileSync(envFile, "A=1\nsecret words\n");
  const words = ["-k", "-w", "0", "--ready", "delay:0", "--env-file", envFile, "--", "sleep", "1000"];
  await using hupwatch = await startHupwatch(words, { cwd: dir.path });
  const warnings = () => hupwatch.log.match(/warn: .*/g) ?? [];
  const one = `warn: --env-file ${envFile}: line 2: not NAME=value, skipped`;
  expect(warnings()).toEqual([one]);
  writeFileSync(envFile, "A B=1\nA=2\nexport C\n");
  await hupwatch.swap(2);
  expect(warnings()).toEqual([one, `warn: --env-file ${envFile}: lines 1, 3: not NAME=value, skipped`]);
  expect(hupwatch.log).not.toContain("secret");
});

// `hupwatch shutdown`, typed by a user of supervisorctl, ran shutdown(8); `hupwatch tail shop` followed a file.
describe("a sub-command of other tools", () => {
  const rows: [words: string[], hint: string][] = [
    [["start", "shop"], "put the command behind --"],
    [["restart"], "'hupwatch reload' replaces it"],
    [["shutdown"], "'hupwatch stop' stops it; a program with that name: hupwatch -- shutdown"],
    [["kill", "-HUP", "1"], "'hupwatch stop' stops it"],
    [["tail", "shop"], "its log goes to its stderr"],
    [["ps"], "'hupwatch status' shows what runs"],
  ];
  test.each(rows)("%j", async (words, hint) => {
    const refusal = await refused(words);
    expect(refusal).toMatchObject({ exitCode: 125, message: `no sub-command '${words[0]}'` });
    expect(refusal.hint).toContain(hint);
  });
});

describe("a sub-command mistyped", () => {
  const NOT_THERE = "install it, or give its path: it is not on PATH";
  const rows: [words: string[], hint: string][] = [
    [["statsu"], `did you mean 'hupwatch status'? Else ${NOT_THERE}`],
    [["relod", "shop"], `did you mean 'hupwatch reload'? Else ${NOT_THERE}`],
    [["sotp"], `did you mean 'hupwatch stop'? Else ${NOT_THERE}`],
    [["no-such-command"], NOT_THERE],
    [["rnxy"], NOT_THERE],
    // A program of that name, where nothing else can be meant.
    [["--", "help"], NOT_THERE],
    [["run", "version"], NOT_THERE],
    [["--", "statsu"], NOT_THERE],
    [["-v", "statsu"], NOT_THERE],
    [["run", "statsu"], NOT_THERE],
  ];
  test.each(rows)("%j", async (words, hint) => {
    expect(await refused(words)).toMatchObject({ exitCode: 127, hint });
  });
});

// "`hupwatch -- FOO=1 cmd` and `-- cd x`: command not found", and the shell's other words with them.
describe("what only a shell understands", () => {
  const rows: [word: string, hint: string][] = [
    ["FOO=1", "hupwatch -- env FOO=1 COMMAND"],
    ["PATH+=:/x", "put env before it"],
    ["cd", "use --chdir DIR"],
    ["source", "use --env-file FILE"],
    ["export", "env NAME=value COMMAND"],
    ["ulimit", "prlimit --nofile=65536 COMMAND"],
    ["umask", "use --umask 0027"],
    ["exec", "leave 'exec' out"],
    ["while", "sh -c"],
    ["~/bin/server", "write the whole path"],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as a unit or a program of supervisord has it
    ["${HOME}/server", "only a shell replaces variables"],
    ["gunicorn app:app --bind unix:app.sock", "remove the quotes around it"],
  ];
  test.each(rows)("%s", async (word, hint) => {
    const refusal = await refused(["--", word, "x"]);
    expect(refusal).toMatchObject({ exitCode: 127, message: `command not found: '${word}'` });
    expect(refusal.hint).toContain(hint);
  });

  test("runs where it is a program all the same", async () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/FOO=1`, "#!/bin/sh\necho ran\n", { mode: 0o755 });
    await using hupwatch = spawnHupwatch(["--", "FOO=1"], {
      ...{ cwd: dir.path, env: { PATH: `${dir.path}:${process.env.PATH}` } },
    });
    expect(await hupwatch.exited).toBe(0);
    expect(hupwatch.output).toBe("ran\n");
  });
});

// "`hupwatch help` gives 127: should print the help"
describe("help and version as words", () => {
  test.each([
    [["help"], ["--help"]],
    [
      ["help", "reload"],
      ["reload", "--help"],
    ],
    [["help", "help"], ["--help"]],
    [["version"], ["--version"]],
  ])("%j is %j", async (words, same) => {
    using place = home();
    const [said, wanted] = [await cli(words, place), await cli(same, place)];
    expect(said).toEqual({ ...wanted, exitCode: 0 });
    expect(said.stdout).not.toBe("");
  });

  test("help of what is no sub-command", async () => {
    expect(await refused(["help", "relaod"])).toEqual({
      exitCode: 2,
      message: "no sub-command 'relaod'",
      hint: "did you mean 'reload'? 'hupwatch help' lists them; for a program's own help: hupwatch -- relaod --help",
    });
  });
});

describe("a second hupwatch", () => {
  test("of the same name fails at once with the first one's pid; the first goes on", async () => {
    using dir = tempDir();
    const words = ["-k", "--name", "twin", "--run-dir", dir.path, "--", "sleep", "1000"];
    await using first = await startHupwatch(words, { cwd: dir.path });
    await using second = spawnHupwatch(words, { cwd: dir.path });
    expect(await second.exited).toBe(125);
    expect(second.log).toStartWith(
      `hupwatch: hupwatch 'twin' is already running as process ${first.pid}\nTo fix: kill -HUP`,
    );
    expect(first.alive).toBe(true);
    first.signal("SIGTERM");
    await first.exited;
    await first.assertTreeGone();
  });

  test("on the same socket is told which process has it, and nothing happens to the first one's clients", async () => {
    using dir = tempDir();
    const bind = `unix:${dir.path}/app.sock`;
    const server = [process.execPath, `${import.meta.dir}/../../fixtures/apps/tiny.ts`];
    await using first = await startHupwatch(["-k", "-b", bind, "--", ...server], {
      cwd: dir.path,
      env: { APP_VERSION: "1" },
    });
    const before = readdirSync(dir.path);
    await using second = spawnHupwatch(["-k", "--name", "other", "-b", bind, "--", ...server], {
      cwd: dir.path,
    });
    expect(await second.exited).toBe(125);
    const pid = Number(/process (\d+) listens on it\nTo fix: /.exec(second.log)?.[1]);
    expect(second.log).toMatch(/'hupwatch stop \S+' ends both, or choose another path\n$/);
    expect(second.log).toContain(`which runs as process ${first.pid}: `);
    expect(first.tree().map((entry) => entry.pid)).toContain(pid);
    expect(readdirSync(dir.path)).toEqual(before);
    const answer = await fetch("http://x/", { unix: `${dir.path}/app.sock` });
    expect(answer.status).toBe(200);
    first.signal("SIGTERM");
    await first.exited;
    await until(() => readdirSync(dir.path).length === 0, { what: "the socket files to go" });
  });
});
