/** A held Unix path: claimed once, flipped without a gap, given back as it was found. On the real kernel. */
import { describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { SETTLE_MS } from "../../src/generation/settle.ts";
import type { PathNews, SocketOptions } from "../../src/sockets/held.ts";
import { HeldUnix } from "../../src/sockets/held-unix.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { throughLink } from "../../src/sockets/unix-path.ts";
import { startLoad } from "../harness/load.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { answering, versionAt } from "./answering.ts";

const OPTIONS: SocketOptions = { backlog: 128 };
const hold = (path: string, options = OPTIONS) => new HeldUnix(parseSpec(`unix:${path}`, "/"), path, options);

/** Hears what becomes of its path; `own`: whose processes are a generation's. */
function keep(held: HeldUnix, own: readonly number[] = []): PathNews[] {
  const news: PathNews[] = [];
  held.keep({ owns: (pid) => own.includes(pid), renews: true, tell: (one) => news.push(one) });
  return news;
}

describe("claiming", () => {
  test("nothing stands at the path before the first steer", () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const listener = held.listenFor(1);
    expect(existsSync(held.path)).toBe(false);
    held.steerTo(listener);
    expect(lstatSync(held.path).isSocket()).toBe(true);
  });

  test("of two that start at once the second is refused, and the first one's socket stays", () => {
    using dir = tempDir();
    using first = hold(`${dir.path}/app.sock`);
    using second = hold(`${dir.path}/app.sock`);
    const [mine, theirs] = [first.listenFor(1), second.listenFor(2)];
    first.steerTo(mine);
    const inode = lstatSync(first.path).ino;
    expect(thrownBy(() => second.steerTo(theirs))).toMatchObject({ code: "bind.in-use" });
    expect(lstatSync(first.path).ino).toBe(inode);
  });

  test("a private name with our process's number that is a dead leftover is not in the way", () => {
    using dir = tempDir();
    const leftover = hold(`${dir.path}/app.sock`);
    leftover.listenFor(1);
    leftover.leave();
    using held = hold(`${dir.path}/app.sock`);
    expect(() => held.listenFor(1)).not.toThrow();
  });
});

describe("flipping", () => {
  test("I3: 60 flips under load: nothing fails and no version comes again", async () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const swap = (generation: number) => {
      const listener = held.listenFor(generation);
      const server = answering(listener.fd, String(generation));
      held.steerTo(listener);
      const flippedAt = performance.now();
      return { listener, server, flippedAt };
    };
    const generations = [swap(1)];
    await using load = await startLoad({ target: `unix:${held.path}`, concurrency: 8 });
    for (let generation = 2; generation <= 60; generation++) {
      generations.push(swap(generation));
      // A connect that looked the path up just before a flip arrives just after it: the swap waits the settle time, too.
      while (performance.now() - (generations[1]?.flippedAt ?? Infinity) > SETTLE_MS)
        retire(generations.shift());
      await load.more(1);
    }
    await load.version("60");
    expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "60" });
    for (const generation of generations) retire(generation);
    expect(readdirSync(dir.path)).toEqual(["app.sock"]);

    function retire(old: ReturnType<typeof swap> | undefined): void {
      expect(old?.listener.hasQueued()).toBe(false);
      old?.server[Symbol.dispose]();
      old?.listener[Symbol.dispose]();
    }
  }, 120_000);

  test("a probe reaches the new listener before the flip, all other clients the old one", async () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const [one, two] = [held.listenFor(1), held.listenFor(2)];
    held.steerTo(one);
    using _one = answering(one.fd, "1");
    using _two = answering(two.fd, "2");
    expect(await versionAt({ unix: held.path })).toBe("1");
    expect(await versionAt({ unix: two.privatePath })).toBe("2");
    expect(two.proof).toBe(true);
  });

  test("back again: a failed successor's flip is undone, and the same listener may be steered to twice", async () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const [one, two] = [held.listenFor(1), held.listenFor(2)];
    using _one = answering(one.fd, "1");
    using _two = answering(two.fd, "2");
    for (const listener of [one, two, one, one]) held.steerTo(listener);
    two[Symbol.dispose]();
    expect(await versionAt({ unix: held.path })).toBe("1");
  });

  test("the accept queue says whether a connection waits", async () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const one = held.listenFor(1);
    expect(one.hasQueued()).toBe(false);
    using _probe = one.connect();
    expect(one.hasQueued()).toBe(true);
    using _server = answering(one.fd, "1");
    await until(() => !one.hasQueued(), { what: "the connection to be accepted" });
  });

  test("steering to another socket's listener is a bug and says so", () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    using other = hold(`${dir.path}/other.sock`);
    expect(() => held.steerTo(other.listenFor(1))).toThrow(RangeError);
  });
});

describe("whatever others do to the path", () => {
  test("I3: unlinked by a server at its exit, it is put back at once", async () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const restored = keep(held);
    const one = held.listenFor(1);
    held.steerTo(one);
    using _server = answering(one.fd, "1");
    for (const times of [1, 2, 3]) {
      unlinkSync(held.path);
      await until(() => restored.length === times, { what: "the path to be put back" });
      expect(await versionAt({ unix: held.path })).toBe("1");
      // Found by its third name: a link that was about to be renamed stayed.
      expect(readdirSync(dir.path).filter((name) => name.endsWith("~"))).toEqual([]);
    }
  });

  test("another live listener at the path is left alone, and the next steer names it", async () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const [one, two] = [held.listenFor(1), held.listenFor(2)];
    held.steerTo(one);
    unlinkSync(held.path);
    using stranger = Bun.listen({ unix: held.path, socket: { data() {} } });
    expect(stranger.unix).toBe(held.path);
    const inode = lstatSync(held.path).ino;
    expect(thrownBy(() => held.steerTo(two)).message).toContain(`process ${process.pid} listens on it`);
    expect(lstatSync(held.path).ino).toBe(inode);
  });

  test("a file at the path is nobody's socket, and stays", () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`);
    const [one, two] = [held.listenFor(1), held.listenFor(2)];
    held.steerTo(one);
    unlinkSync(held.path);
    writeFileSync(held.path, "precious");
    expect(thrownBy(() => held.steerTo(two))).toMatchObject({ code: "bind.not-a-socket" });
    held[Symbol.dispose]();
    expect(lstatSync(held.path).isFile()).toBe(true);
  });
});

describe("the end", () => {
  test("disposing takes away what is ours, and only that", () => {
    using dir = tempDir();
    const held = hold(`${dir.path}/app.sock`);
    held.steerTo(held.listenFor(1));
    held.listenFor(2);
    held[Symbol.dispose]();
    expect(readdirSync(dir.path)).toEqual([]);
  });

  test("another process's socket at the path survives our end", () => {
    using dir = tempDir();
    const held = hold(`${dir.path}/app.sock`);
    held.steerTo(held.listenFor(1));
    unlinkSync(held.path);
    using _stranger = Bun.listen({ unix: held.path, socket: { data() {} } });
    held[Symbol.dispose]();
    expect(readdirSync(dir.path)).toEqual(["app.sock"]);
  });

  test("leaving keeps every name, and what listens goes on", async () => {
    using dir = tempDir();
    const held = hold(`${dir.path}/app.sock`);
    const one = held.listenFor(1);
    held.steerTo(one);
    using _server = answering(one.fd, "1");
    held.leave();
    expect(readdirSync(dir.path)).toHaveLength(2);
    expect(await versionAt({ unix: held.path })).toBe("1");
  });
});

describe("mode and owner", () => {
  const modeOf = (path: string) => statSync(path).mode & 0o777;

  test.each([0o660, 0o777, 0o600])("mode %o stands from the first moment on, after every flip", (mode) => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`, { ...OPTIONS, mode });
    for (const generation of [1, 2]) {
      held.steerTo(held.listenFor(generation));
      expect(modeOf(held.path)).toBe(mode);
    }
  });

  test("without one it is the umask's business", () => {
    using dir = tempDir();
    const before = process.umask(0o027);
    try {
      using held = hold(`${dir.path}/app.sock`);
      held.steerTo(held.listenFor(1));
      expect(modeOf(held.path)).toBe(0o750);
    } finally {
      process.umask(before);
    }
  });

  test.skipIf(process.getuid?.() !== 0)("the owner is set", () => {
    using dir = tempDir();
    using held = hold(`${dir.path}/app.sock`, { ...OPTIONS, owner: { uid: 65534, gid: 65533 } });
    held.steerTo(held.listenFor(1));
    expect(statSync(held.path)).toMatchObject({ uid: 65534, gid: 65533 });
  });
});

test("a symlink at the path goes on pointing at the socket", () => {
  using dir = tempDir();
  mkdirSync(`${dir.path}/real`);
  const leftover = hold(`${dir.path}/real/app.sock`);
  leftover.steerTo(leftover.listenFor(1));
  leftover.leave();
  symlinkSync("real/app.sock", `${dir.path}/link.sock`);
  const link = `${dir.path}/link.sock`;
  using held = hold(throughLink(parseSpec(`unix:${link}`, "/"), link));
  expect(held.path).toBe(`${dir.path}/real/app.sock`);
  held.steerTo(held.listenFor(1));
  expect(readlinkSync(`${dir.path}/link.sock`)).toBe("real/app.sock");
});
