/** The small values of the command line, each by itself: exit codes, durations, the pid file. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { exitCodeOf } from "../../src/cli/exit-code.ts";
import { formatDuration, parseDuration } from "../../src/duration.ts";
import { PidFile } from "../../src/instance/pidfile.ts";
import { parseStopSequence } from "../../src/plan/stop-sequence.ts";
import type { Ending } from "../../src/swap/machine.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";

describe("exit codes", () => {
  const code = (n: number) => ({ code: n, signal: undefined });
  const signal = (name: string) => ({ code: undefined, signal: name });
  const rows: [what: string, ending: Ending, exitCode: number][] = [
    ["left", { kind: "left", serving: 1 }, 0],
    ["stopped, and it said so", { kind: "stopped", serving: 1, exit: code(0) }, 0],
    ["stopped with a code of its own", { kind: "stopped", serving: 1, exit: code(3) }, 3],
    [
      "stopped by the very signal it was asked with",
      { kind: "stopped", serving: 1, exit: signal("SIGUSR1") },
      0,
    ],
    ["a JVM says so by 128+n", { kind: "stopped", serving: 1, exit: code(143) }, 0],
    ["a shell says that it was killed", { kind: "stopped", serving: 1, exit: code(137) }, 137],
    ["stopped by another", { kind: "stopped", serving: 1, exit: signal("SIGSEGV") }, 139],
    ["killed in the end", { kind: "stopped", serving: 1, exit: signal("SIGKILL") }, 137],
    ["stopped before it ran", { kind: "stopped", serving: 1 }, 0],
    ["crashed with a code", { kind: "failed", failure: { reason: "x", exit: code(7) } }, 7],
    ["done by itself", { kind: "failed", failure: { reason: "x", exit: code(0) } }, 0],
    [
      "killed by a stranger, though by our signal",
      { kind: "failed", failure: { reason: "x", exit: signal("SIGTERM") } },
      143,
    ],
    ["never ready", { kind: "failed", failure: { reason: "x" } }, 125],
    ["not found", { kind: "failed", failure: { reason: "x", exitCode: 127 } }, 127],
  ];
  test.each(rows)("%s", (_, ending, exitCode) => {
    expect(exitCodeOf(ending, parseStopSequence("USR1/1s/TERM/1s"))).toBe(exitCode);
  });
});

describe("durations", () => {
  test.each([
    ["90", 90_000],
    ["1.5", 1500],
    [".5", 500],
    ["0", 0],
    ["200ms", 200],
    ["5s", 5000],
    ["2m", 120_000],
    ["1h", 3_600_000],
    [" 1s ", 1000],
  ])("%s", (text, ms) => {
    expect(parseDuration(text, "it")).toBe(ms);
  });
  test.each(["", "-1", "1d", "s", "1 s", "1e3", "0x10", "1,5", "Infinity", "NaN", "600h"])(
    "'%s' is none",
    (text) => {
      const error = thrownBy(() => parseDuration(text, "--warmup-time"));
      expect(error.message).toBe(`--warmup-time: '${text}' is not a duration`);
    },
  );
  test.each([
    [0, "0.00 s"],
    [412, "0.41 s"],
    [59_990, "59.99 s"],
    [65_000, "1 m 05 s"],
    [3_600_000, "60 m 00 s"],
  ])("%d is written %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe("the pid file", () => {
  test("holds the pid as long as it is ours, and nothing lies beside it", () => {
    using dir = tempDir();
    const path = `${dir.path}/pid`;
    writeFileSync(path, "1\n");
    const file = new PidFile({ path }, 42);
    expect(readFileSync(path, "utf8")).toBe("1\n");
    file.publish();
    expect(readFileSync(path, "utf8")).toBe("42\n");
    expect(readdirSync(dir.path)).toEqual(["pid"]);
    file[Symbol.dispose]();
    expect(existsSync(path)).toBe(false);
  });
  test("of a later hupwatch it stays", () => {
    using dir = tempDir();
    const path = `${dir.path}/pid`;
    const [earlier, later] = [new PidFile({ path }, 42), new PidFile({ path }, 43)];
    for (const file of [earlier, later]) file.publish();
    earlier[Symbol.dispose]();
    expect(readFileSync(path, "utf8")).toBe("43\n");
    later[Symbol.dispose]();
  });
  test("of a start that fails later it leaves the file of the one that runs as it was", () => {
    using dir = tempDir();
    writeFileSync(`${dir.path}/pid`, "1\n");
    new PidFile({ path: `${dir.path}/pid` }, 42)[Symbol.dispose]();
    expect(readFileSync(`${dir.path}/pid`, "utf8")).toBe("1\n");
    expect(readdirSync(dir.path)).toEqual(["pid"]);
  });
  test.each(["/no/such/pid", "/tmp"])("where it cannot be written (%s) the path is named", (path) => {
    expect(thrownBy(() => new PidFile({ path }, 42)).message).toContain(`pid file ${path}: `);
  });
});
