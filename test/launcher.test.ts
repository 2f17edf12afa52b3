/** src/launcher.sh: what stands between the words a user typed and main.ts. */
import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { setTimeout as after } from "node:timers/promises";
import { LAUNCHER, spawnHupwatch, startHupwatch } from "./harness/hupwatch.ts";
import { LOG } from "./harness/log-lines.ts";
import { tempDir } from "./harness/temp-dir.ts";
import { until } from "./harness/until.ts";
import { PYTHON, ROOT } from "./setup/places.ts";

const ENV = { ...process.env, HUPWATCH_BUN: process.execPath };

/** Says a line and stays. */
const saying = (line: string) => ["sh", "-c", `echo "${line}"; exec sleep 1000`, "sh"];

test("a leading -- survives, and so does everything behind it", async () => {
  const words = ["--", "--help", "-k", "a b", ""];
  const command = ["sh", "-c", 'for word; do echo "<$word>"; done; exec sleep 1000', "sh", ...words];
  await using hupwatch = await startHupwatch(["--", ...command]);
  await hupwatch.until(/<>\n/, { stream: "output" });
  expect(hupwatch.output).toBe(words.map((word) => `<${word}>\n`).join(""));
});

// "`bun src/main.ts explain -- x` (from a clone) starts x and hangs."
test.each([[["explain", "--", "touch", "ran"]], [["--", "touch", "ran"]], [["touch", "ran"]], [[]]])(
  "main.ts by itself runs nothing and names its launcher: %j",
  (words) => {
    using dir = tempDir();
    const started = Bun.spawnSync([process.execPath, `${ROOT}/src/main.ts`, ...words], { cwd: dir.path });
    expect(started.stderr.toString()).toMatch(
      /main\.ts must be started by its launcher.*\nTo fix: run \S+\/src\/launcher\.sh /,
    );
    expect({ code: started.exitCode, ran: existsSync(`${dir.path}/ran`) }).toEqual({ code: 125, ran: false });
  },
);

test("a command without -- is a command too, and its own -- stays", async () => {
  await using hupwatch = await startHupwatch([...saying("args: $*"), "--", "x"]);
  await hupwatch.until(/args: -- x\n/, { stream: "output" });
});

test("the pid that was started is hupwatch's own", async () => {
  await using hupwatch = await startHupwatch([
    ...["--handover", "none", "--"],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's variables
    ...saying("told ${HUPWATCH_PID}, parent ${PPID}"),
  ]);
  await hupwatch.until(new RegExp(`told ${hupwatch.pid}, parent ${hupwatch.pid}\n`), { stream: "output" });
});

test("neither .env nor bunfig.toml of the application nor BUN_OPTIONS is read", async () => {
  using app = tempDir();
  const preload = (name: string) => `await Bun.write(${JSON.stringify(`${app.path}/${name}`)}, "ran");\n`;
  await Bun.write(`${app.path}/.env`, "FROM_DOTENV=read\n");
  await Bun.write(`${app.path}/bunfig.toml`, 'preload = ["./preload.ts"]\n');
  await Bun.write(`${app.path}/preload.ts`, preload("preload-ran"));
  await Bun.write(`${app.path}/options.ts`, preload("options-ran"));
  const env = { BUN_OPTIONS: `--preload=${app.path}/options.ts` };

  await using hupwatch = await startHupwatch(["--", ...saying("dotenv <$FROM_DOTENV>")], {
    cwd: app.path,
    env,
  });
  await hupwatch.until(/dotenv <>\n/, { stream: "output" });
  expect(existsSync(`${app.path}/preload-ran`)).toBe(false);
  expect(existsSync(`${app.path}/options-ran`)).toBe(false);

  // That they are traps at all: bun by itself runs into every one of them.
  const bare = Bun.spawnSync([process.execPath, "-e", "console.log(process.env.FROM_DOTENV)"], {
    cwd: app.path,
    env: { ...process.env, ...env },
  });
  expect(bare.stdout.toString()).toBe("read\n");
  expect(existsSync(`${app.path}/preload-ran`)).toBe(true);
  expect(existsSync(`${app.path}/options-ran`)).toBe(true);
});

describe("a HUP in the first milliseconds", () => {
  const delays = Array.from({ length: 31 }, (_, ms) => ms);

  test("never kills it, and swaps whatever had been started before", async () => {
    let early = 0;
    for (const delayMs of delays) {
      const handover = delayMs % 2 === 0 ? "auto" : "none";
      await using hupwatch = spawnHupwatch(["-k", "-w", "0", "--handover", handover, "--", ...saying("up")]);
      // Before its first line the shell dies of a HUP as any program does: that can be cured by no program.
      await until(() => onHangup(hupwatch.pid) !== "dies", { what: "HUP to be ignored", everyMs: 0 });
      if (onHangup(hupwatch.pid) === "ignores") early++;
      await after(delayMs);
      const sentAt = Date.now();
      process.kill(hupwatch.pid, "SIGHUP");
      await hupwatch.until(LOG.serves(1));
      if (startedAt(hupwatch.log) < sentAt) await hupwatch.until(LOG.serves(2));
      hupwatch.signal("SIGTERM");
      expect(await hupwatch.exited).toBe(0);
    }
    // Else the sweep has only met a hupwatch that was up already.
    expect(early).toBeGreaterThan(0);
  }, 300_000);

  /** When the log says that generation 1 was started; unix time in ms. */
  function startedAt(log: string): number {
    const line = log.split("\n").find((text) => LOG.started(1).test(text)) ?? "";
    return Date.parse(line.split(" ")[0] ?? "");
  }

  /** What the process does with a HUP now. */
  function onHangup(pid: number): "dies" | "ignores" | "handles" {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const has = (mask: string) =>
      (Number.parseInt(new RegExp(`^${mask}:.*(.)$`, "m").exec(status)?.[1] ?? "0", 16) & 1) === 1;
    if (has("SigCgt")) return "handles";
    return has("SigIgn") ? "ignores" : "dies";
  }
});

test("under nohup HUP stays ignored, and the log says what to do", async () => {
  await using hupwatch = await startHupwatch([LAUNCHER, "-k", "--", ...saying("up")], { launcher: "nohup" });
  expect(hupwatch.log).toContain("nohup");
  hupwatch.hup();
  hupwatch.signal("SIGTERM");
  await hupwatch.exited;
  expect(hupwatch.count(LOG.started(2))).toBe(0);
});

test("it is found through symlinks: node_modules/.bin, a chain of them, names with spaces", async () => {
  using dir = tempDir();
  const bin = `${dir.path}/my app/node_modules/.bin`;
  mkdirSync(bin, { recursive: true });
  symlinkSync(ROOT, `${dir.path}/my app/node_modules/hupwatch`);
  symlinkSync("../hupwatch/src/launcher.sh", `${bin}/hupwatch`);
  symlinkSync(`${bin}/hupwatch`, `${dir.path}/hw`);
  for (const launcher of [`${bin}/hupwatch`, `${dir.path}/hw`]) {
    await using hupwatch = await startHupwatch(["--", ...saying("up")], { launcher });
    await hupwatch.until(/up\n/, { stream: "output" });
  }
});

test("without bun it exits with 125 and says how to get it", async () => {
  using dir = tempDir();
  // A copy: next to the real one a bun may be installed.
  mkdirSync(`${dir.path}/src`);
  copyFileSync(LAUNCHER, `${dir.path}/src/launcher.sh`);
  await using hupwatch = spawnHupwatch(["--", "true"], {
    launcher: `${dir.path}/src/launcher.sh`,
    env: { HUPWATCH_BUN: undefined, PATH: dir.path },
  });
  await hupwatch.exited;
  expect(hupwatch.log).toBe(
    "hupwatch: bun is not on the PATH, and hupwatch runs on it\n" +
      "To fix: npm install -g bun (1.4 or newer), or set HUPWATCH_BUN to its path\n",
  );
  expect(await hupwatch.exited).toBe(125);
});

// MemoryDenyWriteExecute=, as every hardening guide asks for: https://github.com/oven-sh/bun/pull/41900
test("without executable memory a start is one sentence that names the setting", () => {
  const mdwe =
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])";
  const started = Bun.spawnSync([PYTHON, "-c", mdwe, LAUNCHER, "--", "true"], { env: ENV });
  expect(started.stderr.toString()).toBe(
    "hupwatch: the runtime cannot get executable memory: MemoryDenyWriteExecute= of its unit (or prctl PR_SET_MDWE) refuses it\n" +
      "To fix: take MemoryDenyWriteExecute= out of the unit\n",
  );
  expect(started.exitCode).toBe(125);
  const version = Bun.spawnSync([PYTHON, "-c", mdwe, LAUNCHER, "--version"], { env: ENV });
  expect(version.stdout.toString()).toMatch(/^hupwatch \d/);
});

// chpst -m, softlimit -m, ulimit -v, LimitAS=: https://github.com/oven-sh/bun/pull/41900
test("an address space of 800 MB is enough, and the command does not see how that is done", () => {
  const words = ["prlimit", "--as=800000000", LAUNCHER, "--", "sh", "-c", "env | grep ^BUN_JSC; exit 7"];
  const run = Bun.spawnSync(words, { env: ENV });
  expect(run.stdout.toString()).toBe("");
  expect(run.exitCode).toBe(7);
});

// pgrep(1) and pkill(1): https://github.com/benoitc/gunicorn/issues/1868
test("the process is called hupwatch", async () => {
  await using hupwatch = await startHupwatch(["--", "sleep", "1000"]);
  expect(readFileSync(`/proc/${hupwatch.pid}/comm`, "utf8")).toBe("hupwatch\n");
});
