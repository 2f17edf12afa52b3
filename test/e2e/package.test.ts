/** The package as it is published, installed into a project, and started by the two package runners. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { contentFaults, PUBLINT } from "../../docker/release/package.ts";
import { type Hupwatch, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { readProcess } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

/** Two packs, one after the other, and an installation. */
const TIMEOUT_MS = 300_000;
const dir = tempDir();
const project = `${dir.path}/project`;
const LAUNCHER = `${project}/node_modules/.bin/hupwatch`;
/** Says what it got and stays. */
const COMMAND = ["sh", "-c", 'echo "args: $*"; exec sleep 1000', "sh", "a", "--", "b"];

function run(command: string[], cwd: string): string {
  const done = Bun.spawnSync(command, { cwd });
  if (!done.success) throw new Error(`${command.join(" ")}\n${done.stdout}\n${done.stderr}`);
  return done.stdout.toString();
}

async function pack(tarball: string): Promise<void> {
  const words = [process.execPath, "pm", "pack", "--quiet", "--filename", tarball];
  const packing = Bun.spawn(words, { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"] });
  const said = await packing.stderr.text();
  if ((await packing.exited) !== 0) throw new Error(`${words.join(" ")}\n${said}`);
}

const TARBALLS = ["one.tgz", "other.tgz"].map((name) => `${dir.path}/${name}`);

// "Two `bun pm pack` in one worktree race": the first one's postpack removed what the other one was about to pack.
beforeAll(async () => {
  await Promise.all(TARBALLS.map(pack));
  await Bun.write(`${project}/package.json`, '{"name":"project","private":true}');
  run([process.execPath, "add", "--silent", `${TARBALLS[0]}`], project);
}, TIMEOUT_MS);
afterAll(() => dir[Symbol.dispose]());

/** The pid that hupwatch gives in its lines: the runner's pid is another. */
async function ownPid(hupwatch: Hupwatch): Promise<number> {
  const [, pid] = await hupwatch.until(/hupwatch\[(\d+)\]/);
  return Number(pid);
}

test("two packs at once have the same files, all that are needed and no others", () => {
  const [one = [], other = []] = TARBALLS.map((tarball) =>
    run(["tar", "-tzf", tarball], dir.path).split("\n"),
  );
  expect(other.sort()).toEqual(one.sort());
  const files = one.filter(Boolean).map((name) => ({ path: name.replace(/^package\//, "") }));
  expect(contentFaults({ filename: "", size: 0, unpackedSize: 0, files })).toEqual([]);
});

test("it brings all that it needs, built in, and none of the sources", () => {
  expect(readdirSync(`${project}/node_modules`).filter((name) => !name.startsWith("."))).toEqual([
    "hupwatch",
  ]);
  const files = readdirSync(`${project}/node_modules/hupwatch/src`, { recursive: true, encoding: "utf8" });
  expect(files.filter((name) => /\.(ts|sh)$/.test(name))).toEqual([]);
  // Packing leaves nothing behind that a clone would run in the place of its sources.
  expect(existsSync(`${ROOT}/dist/js`)).toBe(false);
});

test(
  "publint finds nothing to say",
  () => void run(["npx", "--yes", PUBLINT, "--strict", "--pack", "false", "node_modules/hupwatch"], project),
  TIMEOUT_MS,
);

test("a process that waits for signals carries nothing of what only load, verify and completion need", () => {
  const bundled = (file: string) => {
    const text = readFileSync(`${project}/node_modules/hupwatch/dist/js/${file}`, "utf8");
    // The bundler writes each module's path above it.
    const paths = text.matchAll(/^\/\/ .*node_modules\/((?:@[^/\n]+\/)?[^/\n]+)/gm);
    return [...new Set([...paths].map(([, name]) => name))].sort();
  };
  expect(bundled("main.cjs")).toEqual(["citty", "consola"]);
  expect(bundled("load.cjs")).toContain("hdr-histogram-js");
});

test(
  "verify finds the launcher and the parts of its page, and `hupwatch demo` its apps",
  async () => {
    const app = `${project}/node_modules/hupwatch/fixtures/apps/tiny.ts`;
    // Kept connections that a server closes at its stop are a race with their next request, and no matter of what was packed.
    const options = ["--swaps", "1", "--rate", "50", "--mode", "fresh", "--html", "report.html"];
    const words = ["verify", ...options, "--bind", "unix:app.sock", "--", process.execPath, app];
    await using verify = spawnHupwatch(words, { cwd: project, launcher: LAUNCHER });
    expect(await verify.exited).toBe(0);
    const page = await Bun.file(`${project}/report.html`).text();
    for (const part of ["uPlot=function", ".uplot", ".u-legend", "Draws the page's charts"])
      expect(page).toContain(part);

    const few = ["--swaps", "1", "--rate", "50", "--no-naive", "--json"];
    const demo = Bun.spawnSync([LAUNCHER, "demo", ...few], { cwd: project, stderr: "ignore" });
    const { stdout, exitCode } = demo;
    expect(JSON.parse(stdout.toString())).toBeObject();
    expect(exitCode).toBe(0);
  },
  TIMEOUT_MS,
);

test("completion: the scripts, and what they ask", () => {
  const complete = (...words: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([LAUNCHER, "complete", ...words]);
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
    return stdout.toString();
  };
  for (const shell of ["bash", "zsh", "fish"]) expect(complete(shell)).toContain("hupwatch complete --");
  expect(complete("--", "st")).toMatch(/^status\t.*\nstop\t/);
  expect(complete("--", "reload", "--no")).toMatch(/^--no-wait\t/);
});

test("the installed bin is hupwatch itself: its pid is the one to HUP", async () => {
  const options = { cwd: project, launcher: LAUNCHER };
  await using hupwatch = await startHupwatch(["-w", "0", "--", ...COMMAND], options);
  await hupwatch.until(/args: a -- b\n/, { stream: "output" });
  expect(await ownPid(hupwatch)).toBe(hupwatch.pid);
  await hupwatch.swap(2);
});

test(
  "bunx is a parent that passes --, HUP and TERM on",
  async () => {
    const args = ["x", "hupwatch", "-k", "-w", "0", "--", ...COMMAND];
    await using runner = spawnHupwatch(args, { cwd: project, launcher: process.execPath });
    await runner.until(LOG.serves(1));
    await runner.until(/args: a -- b\n/, { stream: "output" });
    expect(readProcess(await ownPid(runner))?.ppid).toBe(runner.pid);
    await runner.swap(2);
    runner.signal("SIGTERM");
    await runner.exited;
    await runner.assertTreeGone();
  },
  TIMEOUT_MS,
);

describe.skipIf(Bun.which("npx") === null)("npx", () => {
  test(
    "passes -- on, and hupwatch takes the HUP that is sent to hupwatch's pid",
    async () => {
      const args = ["hupwatch", "-k", "-w", "0", "--", ...COMMAND];
      await using runner = spawnHupwatch(args, { cwd: project, launcher: "npx" });
      await runner.until(LOG.serves(1));
      await runner.until(/args: a -- b\n/, { stream: "output" });
      const pid = await ownPid(runner);
      expect(pid).not.toBe(runner.pid);
      process.kill(pid, "SIGHUP");
      await runner.until(LOG.gone(1));
    },
    TIMEOUT_MS,
  );

  test(
    "dies of a HUP to its own pid, and the service lives on",
    async () => {
      const args = ["hupwatch", "-w", "0", "--", ...COMMAND];
      await using runner = spawnHupwatch(args, { cwd: project, launcher: "npx" });
      await runner.until(LOG.serves(1));
      const pid = await ownPid(runner);
      runner.hup();
      expect(await runner.exited).toBe(129);
      process.kill(pid, "SIGHUP");
      await until(() => LOG.gone(1).test(runner.log), { what: "the swap", context: () => runner.log });
      expect(readProcess(pid)?.pid).toBe(pid);
    },
    TIMEOUT_MS,
  );
});
