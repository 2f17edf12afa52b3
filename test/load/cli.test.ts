import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import load from "../../src/cli/load.ts";
import { parse } from "../../src/cli/parse.ts";
import { FaultServer } from "../faults/server.ts";

const LAUNCHER = join(import.meta.dir, "../../src/launcher.sh");
const folder = mkdtempSync(join(tmpdir(), "hupwatch-load-cli-"));
let clean: FaultServer;

beforeAll(() => {
  clean = new FaultServer("unix", () => {}, 0);
});
afterAll(() => {
  clean[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function hupwatch(...words: string[]) {
  const process_ = Bun.spawn([LAUNCHER, "load", ...words], { stdout: "pipe", stderr: "pipe", cwd: folder });
  const [stdout, stderr] = await Promise.all([process_.stdout.text(), process_.stderr.text()]);
  return { stdout, stderr, code: await process_.exited };
}

test("clean: a table on stdout, progress on stderr, exit 0", async () => {
  const { stdout, stderr, code } = await hupwatch("-n", "500", clean.target);
  expect(stdout).toContain("0 of 500 requests failed");
  expect(stdout).toMatch(/^all +500 /m);
  expect(stderr).toMatch(/500 ok +0 failed/);
  expect(code).toBe(0);
});

test("failures: named in the table, exit 1; --json and --hgrm", async () => {
  using broken = new FaultServer("tcp", ({ socket }) => void socket.end(), 10);
  const spectrum = join(folder, "spectrum.hgrm");
  const options = ["-q", "-m", "fresh", "-n", "100", "--rate", "1000"];
  const { stdout, stderr, code } = await hupwatch(...options, "--json", "--hgrm", spectrum, broken.target);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    ...{ schema: "hupwatch-load/1", mode: "fresh", rate: 1000 },
    ...{ scheduled: 100, started: 100, ok: 90, failed: 10, missed: 0, inFlight: 0 },
    failures: [{ class: "fin-before-byte", kind: "fresh", reused: false, count: 10 }],
  });
  expect(report.histograms).toBeUndefined();
  expect(stderr).toBe("");
  expect(code).toBe(1);
  const text = await Bun.file(spectrum).text();
  expect(text).toMatch(/Value\s+Percentile\s+TotalCount/);
  expect(text).toContain("Total count");
  const table = await hupwatch(...options, broken.target);
  expect(table.stdout).toMatch(/fin-before-byte +10 +fresh +before-byte +new connection/);
  expect(table.code).toBe(1);
});

test("each failure can be joined with other logs: one JSON line, by id, wall clock and port; and the first one can end it", async () => {
  using broken = new FaultServer("tcp", ({ socket }) => void socket.end(), 10);
  const file = join(folder, "failures.ndjson");
  const options = ["-q", "-m", "fresh", "-c", "1", "-n", "50", "--failures", file, broken.target];
  const before = Date.now();
  const { code } = await hupwatch(...options);
  expect(code).toBe(1);
  const read = async () =>
    (await Bun.file(file).text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const lines = await read();
  expect(lines).toHaveLength(5);
  for (const [i, line] of lines.entries()) {
    expect(line).toMatchObject({
      mode: "fresh",
      class: "fin-before-byte",
      phase: "before-byte",
      reused: false,
    });
    expect(line.id).toBe(broken.received[10 * i + 9]);
    expect(line.localPort).toBeGreaterThan(1024);
    const [due, started, time] = ["due", "started", "time"].map((key) => Date.parse(String(line[key])));
    expect([before - 1, due, started, time, Date.now() + 1]).toEqual(
      [before - 1, due, started, time, Date.now() + 1].toSorted((a, b) => Number(a) - Number(b)),
    );
  }
  expect((await hupwatch("--stop-at-first-drop", ...options)).stdout).toContain("1 of ");
  expect(await read()).toHaveLength(1);
});

test("a spectrum that cannot be written: exit 3 before the load, not after it", async () => {
  using server = new FaultServer("tcp", ({ socket }) => void socket.end(), 10);
  const file = join(folder, "missing", "spectrum");
  const { stdout, stderr, code } = await hupwatch("-q", "-d", "60s", "--hgrm", file, server.target);
  expect(stdout).toBe("");
  expect(stderr).toStartWith(`hupwatch: cannot write ${file}\nTo fix: `);
  expect(code).toBe(3);
});

test("a disk that is full by the end: exit 3 and one sentence, below the verdict", async () => {
  using server = new FaultServer("tcp", ({ socket }) => void socket.end(), 1);
  const { stdout, stderr, code } = await hupwatch("-q", "-n", "10", "--hgrm", "/dev/full", server.target);
  expect(stdout).toContain("10 of 10 requests failed");
  expect(stderr).toStartWith("hupwatch: cannot write /dev/full: ENOSPC\nTo fix: ");
  expect(code).toBe(3);
});

test("nothing there: exit 3 at once, with the way out", async () => {
  const { stdout, stderr, code } = await hupwatch("-d", "60s", "unix:none.sock");
  expect(stdout).toBe("");
  expect(stderr).toContain("nothing answers at unix:none.sock: ENOENT");
  expect(stderr).toContain("To fix: start the server first");
  expect(code).toBe(3);
});

test("the generator was the limit: exit 4, what to do", async () => {
  using slow = new FaultServer(
    "unix",
    ({ socket, good }) => void setTimeout(() => socket.write(good), 30),
    1,
  );
  const words = ["-q", "-c", "1", "-r", "500", "-n", "100", "--timeout", "1s", slow.target];
  const { stdout, stderr, code } = await hupwatch(...words);
  expect(stdout).toContain("inconclusive:");
  expect(stderr).toContain("To fix: raise --connections (now 1)");
  expect(code).toBe(4);
});

test("a signal ends it in good order, with the table", async () => {
  const process_ = Bun.spawn([LAUNCHER, "load", "-d", "60s", "-r", "100", "-q", clean.target], {
    stdout: "pipe",
  });
  const before = clean.received.length;
  while (clean.received.length < before + 5) await Bun.sleep(5);
  process_.kill("SIGINT");
  expect(await process_.stdout.text()).toContain(" requests failed in ");
  expect(await process_.exited).toBe(0);
});

test("--help names modes and exit codes", async () => {
  const { stdout, code } = await hupwatch("--help");
  expect(stdout).toContain("EXIT CODES");
  expect(stdout).toContain("--upload-size");
  expect(code).toBe(0);
});

describe("usage errors: exit 2, the option and the value named", () => {
  const CASES: [words: string[], message: RegExp][] = [
    [[], /no target/],
    [["unix:/a", "unix:/b"], /two targets/],
    [["-m", "get", "unix:/a"], /--mode 'get'/],
    [["-c", "0", "unix:/a"], /--connections '0' is not a number from 1 to 60000/],
    [["-c", "1.5", "unix:/a"], /--connections '1.5' is not a whole number/],
    [["-r", "fast", "unix:/a"], /--rate 'fast'/],
    [["-r", "1e3", "unix:/a"], /--rate '1e3'/],
    [["-n", "0", "unix:/a"], /--requests '0'/],
    [["-d", "soon", "unix:/a"], /--duration.*'soon'/],
    [["-d", "0", "unix:/a"], /--duration '0' is too short/],
    [["--timeout", "0", "unix:/a"], /--timeout '0' is too short/],
    [["--slow-time", "x", "unix:/a"], /--slow-time.*'x'/],
    [["--upload-size", "1t", "unix:/a"], /--upload-size '1t'/],
    [["--upload-size", "2g", "unix:/a"], /--upload-size '2g'/],
    [["--max-missed", "101", "unix:/a"], /--max-missed '101'/],
    [["a.sock"], /target 'a.sock'/],
    [["--nonsense", "unix:/a"], /--nonsense/],
    [["--hgrm", "", "unix:/a"], /--hgrm '' is empty/],
  ];
  for (const [words, message] of CASES)
    test(words.join(" ") || "(nothing)", async () => {
      const outcome = (async () => load.run(parse(load, words)))();
      await expect(outcome).rejects.toMatchObject({
        name: "HupwatchError",
        exitCode: 2,
        message: expect.stringMatching(message),
        hint: expect.any(String),
      });
    });
});
