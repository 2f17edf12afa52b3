/** From the words of a command line to a plan: values, defaults, and where each comes from. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { parse } from "../../src/cli/parse.ts";
import run from "../../src/cli/run.ts";
import { readOptions, type Surroundings } from "../../src/plan/options.ts";
import { type Planned, planRun } from "../../src/plan/plan.ts";
import type { RunPlan } from "../../src/plan/run-plan.ts";
import { tempDir } from "../harness/temp-dir.ts";

const AROUND: Surroundings = {
  env: { PATH: "/bin" },
  cwd: "/srv",
  pid: 100,
  ppid: 50,
  stderrIsTerminal: false,
  runDir: undefined,
  whyNotIntercepted: () => undefined,
};

function planned(words: string, around: Partial<Surroundings> = {}): Planned {
  const { values, positionals } = parse(run, words.split(" "));
  return planRun(readOptions(values, positionals, { ...AROUND, ...around }));
}
const plan = (words: string, around?: Partial<Surroundings>): RunPlan => planned(words, around).plan;
const labels = (words: string) => plan(words).checks.map((check) => check.label);

test("the command begins behind --, or at the first word that is no option", () => {
  for (const words of [
    "-w 2 -- server -w 9",
    "-w 2 server -w 9",
    "-w2 server -w 9",
    "--warmup-time=2 server -w 9",
  ])
    expect(plan(words)).toMatchObject({ words: ["server", "-w", "9"], warmupMs: 2000 });
  expect(plan("server -- --bind x").words).toEqual(["server", "--", "--bind", "x"]);
});

test("defaults", () => {
  expect(plan("-- server")).toMatchObject({
    directory: "/srv",
    envFile: undefined,
    sockets: [],
    cutover: "steer",
    handover: "intercept",
    readyTimeoutMs: 60_000,
    isReadyTimeoutGiven: false,
    isReadinessGiven: false,
    warmupMs: 1000,
    stopSequence: [
      { signal: "SIGTERM", waitMs: 60_000 },
      { signal: "SIGKILL", waitMs: 5000 },
    ],
    maxDraining: 4,
    respawn: undefined,
    killAtExit: false,
  });
});

describe("sockets", () => {
  test("those of the server's own words, unless the user gives some", () => {
    const server = "-- gunicorn app:app -b unix:app.sock";
    expect(plan(server).sockets).toMatchObject([{ text: "unix:/srv/app.sock" }]);
    expect(plan(`-b :80 -b x=:81 ${server}`).sockets).toMatchObject([{ name: "port-80" }, { name: "x" }]);
  });
  test("the mode is the server's; the user's own wins, in octal", () => {
    expect(plan("-- gunicorn app:app").socketOptions.mode).toBe(0o777);
    for (const mode of ["0660", "660", "0o660"])
      expect(plan(`--socket-mode ${mode} -- gunicorn app:app`).socketOptions.mode).toBe(0o660);
    expect(plan("-b :80 -- server").socketOptions.mode).toBeUndefined();
  });
  test("the owner by name or number", () => {
    expect(plan("--socket-owner root -b :80 -- server").socketOptions.owner).toEqual({ uid: 0, gid: 0 });
    expect(plan("--socket-owner 7:8 -b :80 -- server").socketOptions.owner).toEqual({ uid: 7, gid: 8 });
    expect(plan("--socket-owner :root -b :80 -- server").socketOptions.owner).toEqual({
      uid: 0xffffffff,
      gid: 0,
    });
  });
  test("the longest queue that the kernel grants, or what is asked for", () => {
    expect(plan("-b :80 -- server").socketOptions.backlog).toBeGreaterThanOrEqual(128);
    expect(plan("--backlog 7 -b :80 -- server").socketOptions.backlog).toBe(7);
  });
});

describe("handover", () => {
  test.each([
    ["-- server", "intercept"],
    ["-b :80 -- server", "intercept"],
    ["-- nginx", "intercept"],
    ["-b :80 -- nginx", "argv"],
    ["-b :80 -- server --fd {fd}", "argv"],
    ["-b :80 --handover none -- server", "none"],
    ["-b :80 --handover systemd -- server {fd}", "systemd"],
    ["-- gunicorn app:app", "systemd"],
  ] as const)("%s: %s", (words, handover) => {
    expect(plan(words).handover).toBe(handover);
  });
  test("none holds nothing", () => {
    expect(plan("-b :80 --handover none -- server").sockets).toEqual([]);
  });
});

test.each([
  ["-- server", []],
  ["--handover none -- server", ["delay:0"]],
  ["-b :80 -- server", ["connect"]],
  ["-- gunicorn app:app", ["http"]],
  ["--ready http:/health --ready delay:2 -b :80 -- server", ["http:/health", "delay:2"]],
])("%s is checked by %j", (words, checks) => {
  expect(labels(words)).toEqual(checks);
});

describe("kill at exit", () => {
  test.each<[string, Partial<Surroundings>, boolean]>([
    ["-- server", {}, false],
    ["-k -- server", {}, true],
    ["-- server", { pid: 1 }, true],
    ["-- server", { ppid: 1 }, true],
    ["--no-kill-at-exit -- server", { pid: 1 }, false],
  ])("%s in %j: %p", (words, around, killAtExit) => {
    expect(plan(words, around).killAtExit).toBe(killAtExit);
  });
});

test.each([
  ["--on-crash exit", undefined],
  ["--on-crash respawn", { times: 5, withinMs: 60_000 }],
  ["--on-crash respawn --respawn-limit 2/1m", { times: 2, withinMs: 60_000 }],
])("%s", (words, respawn) => {
  expect(plan(`${words} -- server`).respawn).toEqual(respawn);
});

describe("the directory", () => {
  test("is the logical one: a symlink in $PWD stays, and is followed anew by every generation", () => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/one`);
    writeFileSync(`${dir.path}/one/e`, "");
    symlinkSync("one", `${dir.path}/current`);
    const env = { PWD: `${dir.path}/current` };
    const at = (more: Partial<Surroundings>) =>
      plan("--env-file e -- server", { env, cwd: `${dir.path}/one`, ...more });
    expect(at({})).toMatchObject({ directory: `${dir.path}/current`, envFile: `${dir.path}/current/e` });
    expect(plan("--chdir .. -- server", { env, cwd: `${dir.path}/one` }).directory).toBe(dir.path);
  });
  test("where the starter has followed a symlink for good, that is noted; where hupwatch follows it, not", () => {
    using dir = tempDir();
    mkdirSync(`${dir.path}/one`);
    symlinkSync("one", `${dir.path}/current`);
    const notes = (words: string, PWD?: string) =>
      planned(words, { env: { PWD }, cwd: `${dir.path}/one` }).traits.notes.filter((n) =>
        n.includes("--chdir"),
      );
    expect(notes("-- server")).toHaveLength(1);
    expect(notes("-- server", `${dir.path}/current`)).toEqual([]);
    expect(notes(`--chdir ${dir.path}/current -- server`)).toEqual([]);
  });
  test.each(["/", "one", "/no/such", "/etc/passwd/x", ""])(
    "a $PWD that lies ('%s') is not believed",
    (PWD) => {
      using dir = tempDir();
      expect(plan("-- server", { env: { PWD }, cwd: dir.path }).directory).toBe(dir.path);
    },
  );
});

describe("the name", () => {
  const name = (words: string, cwd = "/srv/shop") => plan(words, { cwd }).name;
  test("says directory and command, and is the same for the same", () => {
    expect(name("-- /usr/bin/server -x")).toMatch(/^shop-server-[0-9a-f]{6}$/);
    expect(name("-w 3 -- server")).toBe(name("-- server"));
  });
  test("tells two commands, and two directories, apart", () => {
    const names = [name("-- server"), name("-- server -x"), name("-- server", "/srv/blog")];
    expect(new Set(names).size).toBe(3);
  });
  test("fits a file name, whatever the directory is called", () => {
    expect(name("-- server", "/srv/.Über uns & mehr")).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/);
    expect(name("-- server", `/srv/${"x".repeat(200)}`).length).toBeLessThan(64);
  });
  test("is the given one", () => {
    expect(name("--name web@1 -- server")).toBe("web@1");
  });
});

test("a deploy one can steer: what is asked for, and what cannot be had", () => {
  const asked =
    "--confirm 2m --judge exec:./ok --keep 10m --max-age 24h --max-memory 1.5g --watch-path tmp/restart.txt";
  expect(plan(`${asked} --preflight a --preflight b -b :80 -- server`)).toMatchObject({
    ...{ confirmMs: 120_000, judge: "./ok", keepMs: 600_000, preflights: ["a", "b"] },
    ...{ maxAgeMs: 86_400_000, maxMemoryBytes: 1.5 * 1024 ** 3, watchPath: "/srv/tmp/restart.txt" },
  });
  for (const [words, message] of [
    ["--judge exec:./ok -b :80 -- server", "--judge without --confirm"],
    ["--confirm 1m --judge ./ok -b :80 -- server", "--judge './ok' is not a judge"],
    ["--confirm 1m --handover none -- server", "--confirm needs a socket that hupwatch holds"],
    [
      "--keep 1m --cutover share -b :80 -- server",
      "--keep is not possible: ':80' is shared by all generations",
    ],
    ["--max-memory much -b :80 -- server", "--max-memory 'much' is not a size"],
    ["--max-memory 0 -b :80 -- server", "--max-memory '0' is not a size"],
  ] as const)
    expect(() => plan(words)).toThrow(message);
});

test("the ports of a smoke test are there where a line of the user's may ask", () => {
  for (const option of ["--ready exec:./ok", "--hook ready=./ok", "--confirm 1m --judge exec:./ok"])
    expect(plan(`${option} -b :80 -- server`).socketOptions.probePorts).toBeGreaterThan(1024);
  expect(plan("-b :80 --ready http -- server").socketOptions.probePorts).toBeUndefined();
});
