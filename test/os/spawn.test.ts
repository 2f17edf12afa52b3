/** How a command is started: on the real kernel, by what the started command itself sees. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { HupwatchError } from "../../src/error.ts";
import { close, listen, socket } from "../../src/os/libc.ts";
import { locate } from "../../src/os/lookup.ts";
import { processOf } from "../../src/os/procfs.ts";
import { type Child, type SpawnRequest, spawn } from "../../src/os/spawn.ts";
import { runScript, startScript } from "../harness/scripts.ts";
import { type TempDir, tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { PYTHON, ROOT } from "../setup/places.ts";

const PATH = process.env.PATH ?? "";

/** A shell that writes what it sees into the file `told` of its directory. */
async function told(dir: TempDir, script: string, request: Partial<SpawnRequest> = {}): Promise<string> {
  const child = begin(dir, ["sh", "-c", `{ ${script}; } > told`], request);
  expect(await child.exited).toEqual({ code: 0, signal: undefined });
  return readFileSync(`${dir.path}/told`, "utf8").trim();
}

const begin = (dir: TempDir, argv: string[], request: Partial<SpawnRequest> = {}): Child =>
  spawn({
    argv,
    env: { PATH, ...request.env },
    cwd: dir.path,
    descriptors: [],
    listenPid: false,
    dieWithParent: false,
    ...request,
  });

const WAYS = [
  ["directly", {}],
  ["by way of the shell", { listenPid: true }],
  ["to die with us", { dieWithParent: true }],
  ["with both", { listenPid: true, dieWithParent: true }],
] as const;

describe.each(WAYS)("started %s", (_, way) => {
  test("its pid is the one that we know, and it leads a session of its own", async () => {
    using dir = tempDir();
    const child = begin(dir, ["sleep", "1000"], way);
    try {
      await until(() => processOf(child.pid)?.command === "sleep", { what: "sleep to run" });
      expect(processOf(child.pid)).toMatchObject({ ppid: process.pid, session: child.pid });
      expect(processOf(child.pid)?.startTime).toBe(child.startTime);
      expect(child.kill("SIGTERM")).toBe(true);
      expect(await child.exited).toEqual({ code: undefined, signal: "SIGTERM" });
      expect(child.kill("SIGTERM")).toBe(false);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("LISTEN_PID is its true pid where it is wanted, and else not there", async () => {
    using dir = tempDir();
    const wanted = "listenPid" in way;
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
    expect(await told(dir, 'echo "${LISTEN_PID-none}" $$', way)).toMatch(
      wanted ? /^(\d+) \1$/ : /^none \d+$/,
    );
  });

  test("no word is read by a shell on the way", async () => {
    using dir = tempDir();
    const words = ["a b", "$HOME", "`id`", "*", "'", '"', "\\", "", "-x", "--", "ä\nö"];
    const child = begin(dir, ["sh", "-c", 'printf "%s\\0" "$@" > told', "sh", ...words], way);
    await child.exited;
    expect(readFileSync(`${dir.path}/told`, "utf8").split("\0").slice(0, -1)).toEqual(words);
  });

  test("the environment arrives as it is, odd names included", async () => {
    using dir = tempDir();
    const env = {
      "spring.profile": "x=1",
      "a-b": "two words",
      "9": "nine",
      EMPTY: "",
      LINES: "a\nb",
      ä: "ö",
    };
    const child = begin(dir, [PYTHON, "-c", DUMP_ENV], { ...way, env: { PATH, ...env } });
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(`${dir.path}/told`, "utf8"))).toMatchObject(env);
  });

  test("descriptors arrive as 3, 4, ... in their order, and nothing else of ours does", async () => {
    using dir = tempDir();
    const descriptors = ["inet", "unix"].map((family) => socket(family as "inet"));
    const secret = socket("inet");
    try {
      for (const fd of descriptors.slice(0, 1)) listen(fd, 1);
      const script = "for f in 3 4; do readlink /proc/self/fd/$f; done; ls /proc/$$/fd";
      const [three, four, ...open] = (await told(dir, script, { ...way, descriptors })).split("\n");
      expect([`${three}`, `${four}`]).toEqual(descriptors.map((fd) => readlinkSync(`/proc/self/fd/${fd}`)));
      // 0 to 4, and what the shell itself opened to redirect.
      expect(open.map(Number).filter((fd) => fd < 10)).toEqual([0, 1, 2, 3, 4]);
    } finally {
      for (const fd of [...descriptors, secret]) close(fd);
    }
  });

  test("signals are as a login shell would leave them: none ignored, none blocked", async () => {
    using dir = tempDir();
    const masks = await told(dir, "grep -E '^Sig(Ign|Blk):' /proc/self/status", way);
    expect([...(masks.match(/[0-9a-f]{16}/g) ?? [])]).toEqual(Array(2).fill("0".repeat(16)));
  });

  test("a script without a first line that names its interpreter, or with one that is not there, fails as 126 or 127", async () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/garbage`, "\x7fELF not really", { mode: 0o755 });
    writeFileSync(`${dir.path}/lost`, "#!/no/such/interpreter\n", { mode: 0o755 });
    expect(await exitCodeOf(() => begin(dir, ["./garbage"], way))).toBe(126);
    expect(await exitCodeOf(() => begin(dir, ["./lost"], way))).toBe(127);
  });
});

/** The exit code that the user sees: of the child, or of the error. */
async function exitCodeOf(act: () => Child): Promise<number | undefined> {
  try {
    return (await act().exited).code;
  } catch (error) {
    if (error instanceof HupwatchError) return error.exitCode;
    throw error;
  }
}

const DUMP_ENV = "import json, os; json.dump(dict(os.environ), open('told', 'w'))";

test("-k: kill -9 of its parent kills it, by the kernel", async () => {
  const parent = startScript(`
    const { spawn } = await import("./src/os/spawn.ts");
    const child = spawn({ argv: ["sleep", "1000"], env: { PATH: process.env.PATH }, cwd: "/", descriptors: [],
      listenPid: true, dieWithParent: true });
    console.log(process.pid, child.pid);
    setInterval(() => {}, 1000);`);
  const [, parentPid, pid] = await until(() => /(\d+) (\d+)/.exec(parent.output), { what: "the two pids" });
  await until(() => processOf(Number(pid))?.command === "sleep", { what: "sleep to run" });
  process.kill(Number(parentPid), "SIGKILL");
  await until(() => (processOf(Number(pid))?.state ?? "Z") === "Z", { what: "the command to be killed" });
  await parent.end();
});

test("no descriptor left: hupwatch's own failure, and the limit is what has to be raised", async () => {
  const script = `
    import { openSync } from "node:fs";
    import { spawn } from "./src/os/spawn.ts";
    const request = { argv: ["true"], env: { PATH: process.env.PATH }, cwd: "/", descriptors: [],
      listenPid: false, dieWithParent: false };
    try { for (;;) openSync("/dev/null", "r"); } catch {}
    try { spawn(request); } catch (error) {
      const { exitCode, message, hint } = error;
      console.log(JSON.stringify({ exitCode, message, hint }));
    }`;
  const limited = (words: readonly string[]) => ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", ...words];
  expect(JSON.parse(await runScript(script, { prefix: limited }))).toEqual({
    exitCode: 125,
    message: "cannot start 'true': hupwatch has no file descriptors left (EMFILE)",
    hint: "raise the limit where hupwatch is started: ulimit -n, LimitNOFILE= of systemd",
  });
});

describe("looking a command up", () => {
  const look = (argv: string[], cwd: string, path: string) => locate({ argv, cwd, env: { PATH: path } });
  const script = (path: string, mode = 0o755) => {
    writeFileSync(path, "#!/bin/sh\n");
    chmodSync(path, mode);
  };

  test("as execvp(3) does, from the child's directory and in the child's PATH", () => {
    using dir = tempDir();
    for (const name of ["a", "b", "bin"]) mkdirSync(`${dir.path}/${name}`);
    script(`${dir.path}/a/tool`, 0o644);
    script(`${dir.path}/b/tool`);
    script(`${dir.path}/bin/other`);
    expect(look(["tool"], dir.path, `${dir.path}/a:${dir.path}/b`)).toBe(`${dir.path}/b/tool`);
    expect(look(["other"], dir.path, "bin:/usr/bin")).toBe(`${dir.path}/bin/other`);
    expect(look(["./bin/other"], dir.path, "")).toBe(`${dir.path}/bin/other`);
    expect(look(["other"], `${dir.path}/bin`, ":/usr/bin")).toBe(`${dir.path}/bin/other`);
  });

  test.each(WAYS)("and what was found is what runs (%s)", async (_, way) => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/bin`);
    writeFileSync(`${dir.path}/bin/tool`, "#!/bin/sh\necho tool > told\n", { mode: 0o755 });
    for (const argv of [["./bin/tool"], ["tool"], [`${dir.path}/bin/tool`]]) {
      const child = begin(dir, argv, { ...way, env: { PATH: `bin:${PATH}` } });
      expect(await child.exited).toEqual({ code: 0, signal: undefined });
    }
  });

  test("a symlinked directory is followed anew each time", () => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/one`);
    symlinkSync("one", `${dir.path}/current`);
    script(`${dir.path}/one/server`);
    expect(look(["./server"], `${dir.path}/current`, "")).toBe(`${dir.path}/current/server`);
  });

  test.each<[string[], number, string]>([
    [["nowhere"], 127, "command not found: 'nowhere'"],
    [["./nowhere"], 127, "command not found: './nowhere'"],
    [[""], 127, "command not found: ''"],
    [["./plain"], 126, "is not executable"],
    [["plain"], 126, "is not executable"],
    [["./sub"], 126, "it is a directory"],
    [["./plain/x"], 127, "command not found"],
  ])("%j: %d", (argv, exitCode, message) => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/sub`);
    script(`${dir.path}/plain`, 0o644);
    const error = thrownBy(() => look(argv, dir.path, dir.path));
    expect(error.exitCode).toBe(exitCode);
    expect(error.message).toContain(message);
    expect(error.hint).toBeString();
  });

  test("a directory that is gone is hupwatch's own failure: 125", () => {
    expect(thrownBy(() => look(["sh"], "/no/such", PATH))).toMatchObject({ exitCode: 125 });
  });
});

/**
 * Its own process group gets a SIGHUP each millisecond; each life that the runtime alone starts counts how many they hit.
 * Without that pause they hit 98 of 100 starts, and nobody has 100 new tries in a row to give (MAX_STILLBORN).
 */
const STORM = `
  import { spawn } from "${ROOT}/src/os/spawn.ts";
  process.on("SIGHUP", () => {});
  const blows = "for (;;) { process.kill(-" + process.pid + ", 'SIGHUP'); Bun.sleepSync(1); }";
  Bun.spawn([process.execPath, "-e", blows], { detached: true, stderr: "ignore" });
  const request = { argv: ["true"], env: process.env, cwd: "/", descriptors: [], listenPid: false, dieWithParent: false };
  const plain = { detached: true, stdio: ["ignore", "ignore", "ignore"] };
  let hits = 0;
  while (hits < 5) {
    const bare = Bun.spawn(["true"], plain);
    await bare.exited;
    if (bare.signalCode === "SIGHUP") hits++;
    const { code, signal } = await spawn(request).exited;
    if (code !== 0) throw new Error("the command was ended by " + signal);
  }
  console.log("unharmed");
  process.exit();
`;

test("a SIGHUP for our whole process group never ends a command that has not left it yet", async () => {
  const storm = Bun.spawn([process.execPath, "-e", STORM], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(await storm.stdout.text()).toBe("unharmed\n");
  expect(await storm.exited).toBe(0);
}, 120_000);
