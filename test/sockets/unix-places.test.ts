/** Where a Unix path may be held: what stands in the way is named with the way out, what is dead is replaced. */
import { describe, expect, test } from "bun:test";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { HeldUnix } from "../../src/sockets/held-unix.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { canBePowerless, copyForAll, makeUnwritable, powerless } from "../harness/another-user.ts";
import { runScript, startScript } from "../harness/scripts.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { answering, versionAt } from "./answering.ts";

const hold = (path: string) => new HeldUnix(parseSpec(`unix:${path}`, "/"), path, { backlog: 128 });

describe("what stands in the way", () => {
  const rows: [what: string, make: (dir: string) => string, code: string, message: string, hint: string][] = [
    [
      "a regular file",
      (dir) => {
        writeFileSync(`${dir}/app.sock`, "precious");
        return `${dir}/app.sock`;
      },
      "bind.not-a-socket",
      "exists and is not a socket",
      "remove it",
    ],
    [
      "a directory",
      (dir) => {
        mkdirSync(`${dir}/app.sock`);
        return `${dir}/app.sock`;
      },
      "bind.not-a-socket",
      "exists and is not a socket",
      "remove it",
    ],
    [
      "a symlink to nowhere",
      (dir) => {
        symlinkSync("nowhere", `${dir}/app.sock`);
        return `${dir}/app.sock`;
      },
      "bind.not-a-socket",
      "is not a socket",
      "remove it",
    ],
    ["no directory", (dir) => `${dir}/a/b.sock`, "bind.no-directory", "no directory", "mkdir -p"],
    [
      "a file where the directory should be",
      (dir) => {
        writeFileSync(`${dir}/a`, "");
        return `${dir}/a/b.sock`;
      },
      "bind.no-directory",
      "no directory",
      "mkdir -p",
    ],
  ];
  test.each(rows)("%s", (_, make, code, message, hint) => {
    using dir = tempDir();
    const path = make(dir.path);
    const before = readdirSync(dir.path);
    const error = thrownBy(() => hold(path));
    expect(error).toMatchObject({ code, exitCode: 125 });
    expect(error.message).toContain(`'unix:${path}'`);
    expect(error.message).toContain(message);
    expect(error.hint).toContain(hint);
    expect(readdirSync(dir.path)).toEqual(before);
  });

  test.skipIf(!canBePowerless)("a directory that is not writable", async () => {
    using dir = tempDir();
    using copy = copyForAll();
    makeUnwritable(`${dir.path}/theirs`);
    const script = `
      const { HeldUnix } = await import("./src/sockets/held-unix.ts");
      try {
        new HeldUnix({ name: "x", text: "unix:x", address: {} }, "${dir.path}/theirs/x.sock", { backlog: 1 });
      } catch ({ code, message, hint }) {
        console.log(JSON.stringify({ code, message, hint }));
      }`;
    expect(JSON.parse(await runScript(script, { ...copy, prefix: powerless }))).toEqual({
      code: "bind.forbidden",
      message: `cannot bind 'unix:x': ${dir.path}/theirs is not writable`,
      hint: `let user ${process.getuid?.()} write to ${dir.path}/theirs, or choose another directory`,
    });
  });

  test("a live socket of another process, which is named and not disturbed", async () => {
    using dir = tempDir();
    const path = `${dir.path}/app.sock`;
    const listener = `import socket, os, sys; s = socket.socket(socket.AF_UNIX); s.bind("${path}"); s.listen(); print("up", flush=True); sys.stdin.read()`;
    await using stranger = Bun.spawn([PYTHON, "-c", listener], { stdio: ["pipe", "pipe", "inherit"] });
    await stranger.stdout.getReader().read();
    const inode = lstatSync(path).ino;
    const error = thrownBy(() => hold(path));
    expect(error.message).toBe(`cannot bind 'unix:${path}': process ${stranger.pid} listens on it`);
    expect(error.hint).toContain("end that process");
    expect(lstatSync(path).ino).toBe(inode);
  });
});

// F20 of src/os/README.md: "process 5552 listens on it / end that process": 5552 was the hupwatch that had called listen(2) and had died.
test("the process that is named runs: a child has the listener of the one that called listen", async () => {
  using dir = tempDir();
  const path = `${dir.path}/app.sock`;
  const script = `
import os, signal, socket
s = socket.socket(socket.AF_UNIX); s.bind("${path}.own"); s.listen()
os.link("${path}.own", "${path}")
if os.fork() == 0:
    print(os.getpid(), flush=True)
    signal.pause()`;
  const parent = Bun.spawn([PYTHON, "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const { value } = await parent.stdout.getReader().read();
  const child = Number(Buffer.from(value ?? []).toString());
  expect(child).toBeGreaterThan(0);
  try {
    await parent.exited;
    expect(thrownBy(() => hold(path)).message).toContain(`process ${child} listens on it`);
  } finally {
    process.kill(child, "SIGKILL");
  }
});

test("a directory that has gone since the start is named as at the start, and can be made anew", () => {
  using dir = tempDir();
  mkdirSync(`${dir.path}/a`);
  const path = `${dir.path}/a/app.sock`;
  using held = hold(path);
  held.steerTo(held.listenFor(1));
  renameSync(`${dir.path}/a`, `${dir.path}/moved`);
  const error = thrownBy(() => held.listenFor(2));
  expect(error).toMatchObject({ code: "bind.no-directory", hint: `mkdir -p ${dir.path}/a` });
  expect(error.message).toBe(`cannot bind 'unix:${path}': no directory ${dir.path}/a`);
  mkdirSync(`${dir.path}/a`);
  held.steerTo(held.listenFor(2));
  expect(lstatSync(path).isSocket()).toBe(true);
});

test("a dead leftover is replaced", async () => {
  using dir = tempDir();
  const path = `${dir.path}/app.sock`;
  const dead = Bun.listen({ unix: `${dir.path}/first`, socket: { data() {} } });
  linkSync(`${dir.path}/first`, path);
  dead.stop(true);
  expect(lstatSync(path).isSocket()).toBe(true);
  using held = hold(path);
  const one = held.listenFor(1);
  held.steerTo(one);
  using _server = answering(one.fd, "1");
  expect(await versionAt({ unix: path })).toBe("1");
});

test("of eight that claim one path in the same moment exactly one gets it", async () => {
  using dir = tempDir();
  const script = `
    const { existsSync } = require("node:fs");
    const { HeldUnix } = await import("./src/sockets/held-unix.ts");
    const held = new HeldUnix({ name: "x", text: "unix:x", address: {} }, "${dir.path}/x.sock", { backlog: 1 });
    const listener = held.listenFor(1);
    console.log("ready");
    // Eight that spin would keep the last of them from starting.
    while (!existsSync("${dir.path}/go")) Bun.sleepSync(1);
    try {
      held.steerTo(listener);
      console.log("mine");
    } catch ({ code }) {
      console.log(code);
    }
    process.stdin.on("end", () => held[Symbol.dispose]()).resume();`;
  const starters = Array.from({ length: 8 }, () => startScript(script));
  try {
    await until(() => starters.every((s) => s.output.includes("ready")), {
      timeoutMs: 120_000,
      what: "all to be ready",
    });
    writeFileSync(`${dir.path}/go`, "");
    const outcomes = () => starters.map((s) => s.output.split("\n")[1]);
    await until(() => outcomes().every((o) => o), { what: "all to have tried" });
    expect(outcomes().sort()).toEqual([...Array(7).fill("bind.in-use"), "mine"]);
  } finally {
    await Promise.all(starters.map((s) => s.end()));
  }
  expect(readdirSync(dir.path)).toEqual(["go"]);
}, 300_000);

describe("a directory so deep that a private name does not fit into sun_path", () => {
  /** The public path has its 107 bytes, so that any name beside it is too long. */
  function deep(base: string, names: string[]): string[] {
    const room = 107 - base.length - 2 - Math.max(...names.map((n) => n.length));
    const directory = `${base}/${"d".repeat(room)}`;
    mkdirSync(directory);
    return names.map((name) => `${directory}/${name}`);
  }

  test("is held, flipped, probed and cleaned up all the same", async () => {
    using dir = tempDir();
    const [path = ""] = deep(dir.path, ["app.sock"]);
    expect(path).toHaveLength(107);
    const held = hold(path);
    for (const generation of [1, 2]) {
      const listener = held.listenFor(generation);
      using _server = answering(listener.fd, String(generation));
      using probe = listener.connect();
      expect(probe.connected()).toBe(true);
      held.steerTo(listener);
      expect(await versionAt({ unix: path })).toBe(String(generation));
    }
    held[Symbol.dispose]();
    expect(readdirSync(path.replace("/app.sock", ""))).toEqual([]);
  });

  test("a dead leftover and a live stranger are told apart there, too", () => {
    using dir = tempDir();
    const [path = ""] = deep(dir.path, ["app.sock"]);
    {
      using _stranger = Bun.listen({ unix: path, socket: { data() {} } });
      expect(thrownBy(() => hold(path))).toMatchObject({ code: "bind.in-use" });
    }
    expect(() => hold(path)).not.toThrow();
  });

  test("two sockets in it do not get in each other's way", async () => {
    using dir = tempDir();
    const [a = "", b = ""] = deep(dir.path, ["a.sock", "b.sock"]);
    using heldA = hold(a);
    using heldB = hold(b);
    const [one, two] = [heldA.listenFor(1), heldB.listenFor(1)];
    using _one = answering(one.fd, "a");
    using _two = answering(two.fd, "b");
    heldA.steerTo(one);
    heldB.steerTo(two);
    expect(one.privatePath).not.toBe(two.privatePath);
    expect(await versionAt({ unix: a })).toBe("a");
    expect(await versionAt({ unix: b })).toBe("b");
    unlinkSync(b);
    heldA.steerTo(one);
    expect(await versionAt({ unix: a })).toBe("a");
  });
});
