/** reload, status and stop beside running hupwatches: targets, several, none, left-over ones, --watch. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { StatusAnswer } from "../../src/control/protocol.ts";
import { cli, type Home, home } from "../harness/cli.ts";
import { LAUNCHER, spawnHupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { until } from "../harness/until.ts";

/** Each of its commands is a start of the runtime, and the machine may be busy. */
setDefaultTimeout(120_000);

const start = (place: Home, name: string, ...options: string[]) =>
  startHupwatch(["-k", "-w", "0", "--ready", "delay:0", "--name", name, ...options, "--", "sleep", "1000"], {
    env: place.env,
  });

test("nobody runs: 4, and what to do", async () => {
  using place = home();
  for (const words of [
    ["reload"],
    ["status"],
    ["stop"],
    ["reload", "shop"],
    ["stop", `${place.path}/x.sock`],
  ]) {
    const { exitCode, stderr } = await cli(words, place);
    expect({ words, exitCode, stderr }).toEqual({
      words,
      exitCode: 4,
      stderr: expect.stringContaining("To fix:"),
    });
  }
});

// Said "no answer in time: the swap goes on" (3), and advised to wait for longer, after a kill -9.
test("hupwatch is killed during a reload: 1, and what to do", async () => {
  using place = home();
  await using hupwatch = await start(place, "shop", "--ready", "exec:test $HUPWATCH_GENERATION = 1");
  const reload = cli(["reload", "shop"], place);
  await hupwatch.until(LOG.started(2));
  hupwatch.signal("SIGKILL");
  expect(await reload).toEqual({
    exitCode: 1,
    stdout: "",
    stderr: expect.stringMatching(
      /hupwatch ended before it answered\nTo fix: .*start the same command line again/,
    ),
  });
});

test("a target that is none is refused by name", async () => {
  using place = home();
  writeFileSync(`${place.path}/file`, "");
  for (const command of ["reload", "status", "stop"])
    for (const [words, exitCode, message] of [
      [[""], 2, "the target '' is empty"],
      [["--run-dir", ""], 2, "--run-dir '' is empty"],
      [["--run-dir", "/no/such"], 4, "no run directory /no/such"],
      [["--run-dir", `${place.path}/file`], 4, `no run directory ${place.path}/file`],
      [["--run-dir", `${place.path}/file/x`], 4, `no run directory ${place.path}/file/x`],
      [[`${place.path}/file`], 4, `cannot ask ${place.path}/file: it is not a socket`],
      [["--jsn"], 2, "unknown option '--jsn'"],
      [["--json=1"], 2, "option --json takes no value"],
    ] as const) {
      const said = await cli([command, ...words], place);
      expect(said).toEqual({
        exitCode,
        stdout: "",
        stderr: expect.stringMatching(/^hupwatch: .*\nTo fix: .*\n$/),
      });
      expect(said.stderr).toStartWith(`hupwatch: ${message}\n`);
    }
  const known = await cli(["reload", "--no-wait=1"], place);
  expect(known.stderr).toStartWith("hupwatch: option --no-wait takes no value\n");
});

test("a target is a name, a pid or a path; several need one, and are listed", async () => {
  using place = home();
  await using one = await start(place, "one");
  const socket = `${place.path}/hupwatch/one.sock`;
  for (const target of ["one", `${one.pid}`, socket])
    expect(await cli(["reload", target], place)).toMatchObject({ exitCode: 0 });
  expect(await cli(["reload"], place)).toMatchObject({ exitCode: 0 });
  await using two = await start(place, "two", "--no-control");
  expect(existsSync(`${place.path}/hupwatch/two.sock`)).toBe(false);

  const ambiguous = await cli(["reload"], place);
  expect(ambiguous.stderr).toContain(`several are running: one (pid ${one.pid}), two (pid ${two.pid})`);
  expect(ambiguous.exitCode).toBe(2);
  const mute = await cli(["reload", "two"], place);
  expect(mute.stderr).toContain(`kill -HUP ${two.pid} swaps it`);
  expect(mute.exitCode).toBe(4);
  const unknown = await cli(["reload", "three"], place);
  expect(unknown.stderr).toContain(`these are running: one (pid ${one.pid}), two (pid ${two.pid})`);
  expect(unknown.exitCode).toBe(4);

  const shown = await cli(["status"], place);
  expect(shown.stdout).toContain(`two   pid ${two.pid}   runs without a control socket`);
  const json = JSON.parse((await cli(["status", "--json"], place)).stdout) as StatusAnswer[];
  expect(json.map(({ name }) => name)).toEqual(["one", "two"]);
});

test("no answer in time is 3, and the swap goes on", async () => {
  using place = home();
  await using hupwatch = await start(place, "slow", "--ready", "delay:1");
  const { exitCode, stderr } = await cli(["reload", "--timeout", "100ms"], place);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 3,
    stderr: expect.stringContaining("no answer within 0.1 s"),
  });
  await hupwatch.until(LOG.serves(2));
});

test("a stale socket and a stale lock of a killed hupwatch are nobody; what it left running is shown", async () => {
  using place = home();
  await using killed = await startHupwatch(["--name", "left", "--ready", "delay:0", "--", "sleep", "1000"], {
    env: place.env,
  });
  killed.signal("SIGKILL");
  await killed.exited;
  expect(existsSync(`${place.path}/hupwatch/left.sock`)).toBe(true);
  const { exitCode, stdout } = await cli(["status"], place);
  expect(stdout).toMatch(/^left {3}generation 1 \(pid \d+\) serves on without hupwatch/);
  expect(exitCode).toBe(4);
  const json = await cli(["status", "left", "--json"], place);
  expect(JSON.parse(json.stdout)).toEqual([
    {
      schema: "hupwatch-status/1",
      name: "left",
      pid: null,
      phase: "left",
      left: [expect.objectContaining({ number: 1, role: "serving" })],
    },
  ]);
  expect(json.exitCode).toBe(4);
  const reload = await cli(["reload", "left"], place);
  expect(reload.exitCode).toBe(4);
  expect(reload.stderr).toContain("start the same command line again to take over");
  // The next one opens its own in the stale one's place.
  await using next = spawnHupwatch(
    ["-k", "-w", "0", "--name", "left", "--ready", "delay:0", "--", "sleep", "1000"],
    {
      env: place.env,
    },
  );
  await next.until(LOG.gone(1));
  expect(await cli(["stop", "left"], place)).toMatchObject({ exitCode: 0 });
  expect(await next.exited).toBe(0);
});

test("a hupwatch that ends while a reload waits says so, with the reason", async () => {
  using place = home();
  const slow = `${place.path}/slow`;
  await using hupwatch = await start(place, "ending", "--ready", `exec:test ! -e ${slow}`);
  writeFileSync(slow, "");
  const reload = cli(["reload", "--json"], place);
  await hupwatch.until(LOG.started(2));
  hupwatch.signal("SIGQUIT");
  const { exitCode, stdout } = await reload;
  expect(JSON.parse(stdout)).toMatchObject({ outcome: "ended", failure: { reason: expect.any(String) } });
  expect(exitCode).toBe(1);
});

test("status of an instance that is not there is 4, with --watch and without", async () => {
  using place = home();
  const path = `${place.path}/no.sock`;
  for (const [target, why] of [
    ["nosuch", "no hupwatch is called 'nosuch'"],
    [path, `cannot ask ${path}: no process listens there (ENOENT)\nTo fix: `],
  ] as const)
    for (const words of [[], ["--watch"], ["--json"]]) {
      const { exitCode, stdout, stderr } = await cli(["status", ...words, target], place);
      expect({ exitCode, stdout }).toEqual({ exitCode: 4, stdout: "" });
      expect(stderr).toContain(why);
    }
});

test("--watch of one that ends and comes back, by its path, as lines and as JSON", async () => {
  using place = home();
  const socket = `${place.path}/hupwatch/shop.sock`;
  const first = await start(place, "shop");
  const watch = (name: string, ...options: string[]) => {
    const file = Bun.file(`${place.path}/${name}`);
    const watching = Bun.spawn([LAUNCHER, "status", "--watch", ...options, socket], {
      env: { ...process.env, ...place.env },
      stdio: ["ignore", file, "inherit"],
    });
    return { watching, last: async () => (await file.text()).trimEnd().split("\n").at(-1) ?? "" };
  };
  const [text, json] = [watch("text"), watch("json", "--json")];
  try {
    await until(async () => (await text.last()).startsWith("shop   serving"), { what: "a line" });
    await until(async () => (await json.last()).includes('"phase":"serving"'), { what: "an object" });
    expect((await cli(["stop", socket], place)).exitCode).toBe(0);
    await first[Symbol.asyncDispose]();
    await until(async () => (await text.last()) === "shop   gone", { what: "the end as a line" });
    await until(
      async () => (await json.last()).endsWith('"name":"shop","pid":null,"phase":"left","left":[]}'),
      {
        what: "the end as an object",
      },
    );
    await using _second = await start(place, "shop");
    await until(async () => (await text.last()).startsWith("shop   serving"), { what: "the new one" });
    await until(async () => (await json.last()).includes('"phase":"serving"'), { what: "the new one" });
  } finally {
    for (const { watching } of [text, json]) watching.kill("SIGINT");
    expect(await Promise.all([text.watching.exited, json.watching.exited])).toEqual([0, 0]);
  }
});

test("--watch without a terminal: a line for each change, and Ctrl-C ends it in order", async () => {
  using place = home();
  await using hupwatch = await start(place, "watched");
  const file = `${place.path}/watched.txt`;
  writeFileSync(file, "");
  const watching = Bun.spawn([LAUNCHER, "status", "--watch"], {
    env: { ...process.env, ...place.env },
    stdio: ["ignore", Bun.file(file), "inherit"],
  });
  const lines = async () => (await Bun.file(file).text()).trim().split("\n");
  // Not always the first one: a busy machine may have kept the first question waiting too long, and that is said.
  const serves = async () =>
    (await lines()).some((line) => line.startsWith("watched   serving   generation 1"));
  await until(serves, { what: "a line", timeoutMs: 25_000, context: () => readFileSync(file, "utf8") });
  await hupwatch.swap(2);
  await until(async () => (await lines()).at(-1)?.includes("generation 2 serving"), { what: "another line" });
  watching.kill("SIGINT");
  expect(await watching.exited).toBe(0);
  expect(await Bun.file(file).text()).not.toContain("\x1b");
});

test("one that has left answers while its last hook still runs; its successor knows how old the generation is", async () => {
  using place = home();
  const hold = `${place.path}/hold`;
  const words = (readyMs: number) => [
    ...["-w", "0", "--ready", `delay:${readyMs}ms`, "--name", "shop", "-b", `unix:${place.path}/s`],
    ...["--hook", `swapped=touch ${hold}; while [ -e ${hold} ]; do sleep 0.05; done`, "--", "sleep", "1000"],
  ];
  const status = async () => {
    const { stdout, stderr, exitCode } = await cli(["status", "shop", "--json"], place);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return JSON.parse(stdout)[0] as StatusAnswer;
  };
  await using first = await startHupwatch(words(0), { env: place.env });
  expect(await cli(["reload"], place)).toMatchObject({ exitCode: 0 });
  await until(() => existsSync(hold), { what: "the hook to run" });
  const [{ startedAt = "", pid = 0 } = {}] = (await status()).generations.filter((g) => g.role === "serving");
  first.signal("SIGTERM");
  await first.until(/left generation 2 running/);
  const left = await status();
  expect(left).toMatchObject({ phase: "over", generations: [{ number: 2, pid, role: "serving" }] });
  expect((await cli(["status"], place)).stdout).toStartWith("shop   ended, but for its hooks   pid ");
  rmSync(hold);
  expect(await first.exited).toBe(0);

  await using second = spawnHupwatch(["-k", ...words(60_000)], { env: place.env });
  await second.until(LOG.started(3));
  const [adopted] = (await status()).generations;
  expect(adopted).toMatchObject({ number: 2, pid });
  // The kernel counts from the fork, hupwatch from when it knows of it.
  expect(Math.abs(Date.parse(adopted?.startedAt ?? "") - Date.parse(startedAt))).toBeLessThan(5000);
  second.signal("SIGQUIT");
  await second.exited;
  await until(() => !existsSync(`/proc/${pid}`), { what: "the adopted one to end" });
});

test("what answers and is not a hupwatch, most often the server itself, is named", async () => {
  using place = home();
  for (const body of ["hello", '{"hello":"you"}', "null"]) {
    const server = Bun.serve({ unix: `${place.path}/app.sock`, fetch: () => new Response(body) });
    for (const words of [["reload"], ["stop"], ["status"]]) {
      const { exitCode, stdout, stderr } = await cli([...words, `${place.path}/app.sock`], place);
      expect(stdout + stderr).toContain(
        `${place.path}/app.sock: no hupwatch answers there, but another program`,
      );
      expect({ words, exitCode }).toEqual({ words, exitCode: 4 });
    }
    await server.stop(true);
  }
});

test("a full run directory: it is found by its lock, and answers", async () => {
  using place = home();
  const runDir = `${place.path}/hupwatch`;
  await using hupwatch = await start(place, "full");
  // What a full disk leaves: files without a byte in them.
  for (const file of ["full.lock", "full.json"]) writeFileSync(`${runDir}/${file}`, "");
  const { stdout } = await cli(["status"], place);
  expect(stdout).toStartWith(`full   serving   pid ${hupwatch.pid}   `);
  expect(await cli(["reload"], place)).toMatchObject({ exitCode: 0 });
});

test("a run directory whose path is too long for a socket is said to be", async () => {
  using place = home();
  const env = { ...place.env, XDG_RUNTIME_DIR: `${place.path}/${"x".repeat(100)}` };
  mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
  await using hupwatch = await start({ ...place, env }, "far");
  expect(hupwatch.log).toMatch(
    /no control socket \/\S+: the path has more than 107 bytes: choose a shorter --run-dir\n/,
  );
});
