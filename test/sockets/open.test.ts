/** From specs to held sockets: which are steered and which are shared, and nothing stays held where one cannot be. */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readdirSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { close, listen, socket } from "../../src/os/libc.ts";
import type { HeldSocket } from "../../src/sockets/held.ts";
import { holdAll } from "../../src/sockets/open.ts";
import { format } from "../../src/sockets/sockaddr.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { freePort } from "../harness/free-port.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { rejectionOf } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { answering, type Target, versionAt } from "./answering.ts";

interface Held extends Disposable {
  all: HeldSocket[];
}

async function hold(texts: string[], cutover: "steer" | "share" = "steer", cwd = "/"): Promise<Held> {
  const specs = texts.map((text) => parseSpec(text, cwd));
  const all = await holdAll({ specs, options: { backlog: 64 }, cutover });
  return {
    all,
    [Symbol.dispose]: () => {
      for (const one of all) one[Symbol.dispose]();
    },
  };
}

const failing = (texts: string[]) => rejectionOf(hold(texts));

describe("steered", () => {
  test.each([
    ["127.0.0.1:0", /^127\.0\.0\.1:\d+$/],
    [":0", /^0\.0\.0\.0:\d+$/],
    ["*:0", /^0\.0\.0\.0:\d+$/],
    ["localhost:0", /^(127\.0\.0\.1|\[::1\]):\d+$/],
    ["[::]:0", /^\[::\]:\d+$/],
    ["[0:0::1]:0", /^\[::1\]:\d+$/],
  ])("%s", async (text, address) => {
    using held = await hold([text]);
    expect(held.all[0]?.cutover).toEqual({ mode: "steer" });
    expect(format((held.all[0] as HeldSocket).address)).toMatch(address);
  });

  const interfaces = Object.entries(networkInterfaces());
  const zones = interfaces.flatMap(([name, found]) =>
    (found ?? []).flatMap((a) =>
      a.family === "IPv6" && a.address.startsWith("fe80")
        ? [{ name, address: a.address, scope: a.scopeid }]
        : [],
    ),
  );
  test.skipIf(zones.length === 0)(
    "a link-local address by its interface's name, for more than one generation",
    async () => {
      const { name, address, scope } = zones[0] as (typeof zones)[0];
      using held = await hold([`[${address}%${name}]:0`]);
      const [socket] = held.all;
      for (const generation of [1, 2]) socket?.listenFor(generation);
      expect(socket?.address).toMatchObject({ host: `${address}%${scope}` });
    },
  );
});

describe("shared", () => {
  async function swapOn(held: HeldSocket, target: Target): Promise<void> {
    const [one, two] = [held.listenFor(1), held.listenFor(2)];
    expect(one.fd).toBe(two.fd);
    held.steerTo(one);
    // The second generation's probe might be answered by the first one: never called a proof.
    expect([one.proof, two.proof]).toEqual([true, false]);
    using probe = two.connect();
    await until(() => two.hasQueued(), { what: "the probe to wait" });
    using server = answering(one.fd, "1");
    await until(() => server.accepted === 1, { what: "the probe to be accepted" });
    held.steerTo(two);
    one[Symbol.dispose]();
    expect(await versionAt(target)).toBe("1");
    expect(probe.connected()).toBe(true);
  }

  test("by wish: TCP", async () => {
    const port = await freePort();
    using held = await hold([`127.0.0.1:${port}`], "share");
    expect(held.all[0]?.cutover).toEqual({ mode: "share", why: "requested by --cutover share" });
    await swapOn(held.all[0] as HeldSocket, { hostname: "127.0.0.1", port });
  });

  test("by wish: a path, which goes with its holder", async () => {
    using dir = tempDir();
    using held = await hold(["unix:app.sock"], "share", dir.path);
    await swapOn(held.all[0] as HeldSocket, { unix: `${dir.path}/app.sock` });
    held.all[0]?.[Symbol.dispose]();
    held.all.length = 0;
    expect(readdirSync(dir.path)).toEqual([]);
  });

  test("abstract: it has no path that could be renamed", async () => {
    const name = `hupwatch-test-${crypto.randomUUID()}`;
    using held = await hold([`unix:@${name}`]);
    expect(held.all[0]?.cutover.mode).toBe("share");
    await swapOn(held.all[0] as HeldSocket, { unix: `\0${name}` });
    expect(await failing([`unix:@${name}`])).toMatchObject({ code: "bind.failed" });
  });

  test("inherited: its address belongs to the starter", async () => {
    const fd = socket("inet");
    listen(fd, 8);
    using held = await hold([`fd://${fd}`]);
    const only = held.all[0] as HeldSocket;
    expect(only.cutover.mode).toBe("share");
    const { port } = only.address as { port: number };
    await swapOn(only, { hostname: "127.0.0.1", port });
  });

  test("a listener that was shut down is reported at the next swap", async () => {
    using held = await hold(["127.0.0.1:0"], "share");
    const listener = held.all[0]?.listenFor(1);
    const script = "import socket; socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)";
    await Bun.spawn([PYTHON, "-c", script], {
      stdio: ["ignore", "inherit", "inherit", listener?.fd ?? -1],
    }).exited;
    expect(() => held.all[0]?.steerTo(listener as never)).toThrow(
      "no longer listens: a generation shut it down",
    );
  });
});

describe("every IPv6 address and every IPv4 one on one port", () => {
  test.each([
    ["steer", "[::]", "0.0.0.0"],
    ["steer", "", "[::]"],
    ["share", "*", "[::]"],
    ["share", "[::]", "127.0.0.1"],
  ] as const)("%s: '%s' and '%s', for every generation", async (cutover, ...hosts) => {
    const port = await freePort();
    using held = await hold(
      hosts.map((host) => `${host}:${port}`),
      cutover,
    );
    for (const generation of [1, 2]) {
      const listeners = held.all.map((socket) => socket.listenFor(generation));
      using servers = new DisposableStack();
      for (const [i, listener] of listeners.entries()) {
        held.all[i]?.steerTo(listener);
        servers.use(answering(listener.fd, `${generation} of ${hosts[i]}`));
      }
      const [v6, v4] = hosts[0] === "[::]" ? hosts : hosts.toReversed();
      expect(await versionAt({ hostname: "::1", port })).toBe(`${generation} of ${v6}`);
      expect(await versionAt({ hostname: "127.0.0.1", port })).toBe(`${generation} of ${v4}`);
    }
  });

  test("[::] alone takes both, as ever", async () => {
    const port = await freePort();
    using held = await hold([`[::]:${port}`]);
    using _server = answering(held.all[0]?.listenFor(1).fd ?? -1, "1");
    for (const hostname of ["::1", "127.0.0.1"]) expect(await versionAt({ hostname, port })).toBe("1");
  });
});

describe("what cannot be held", () => {
  test.each([
    ["fd://999", "bind.not-a-socket", "descriptor 999 of 'fd://999' is not open"],
    // A label has 63 letters at most: no server is asked for this one.
    [`${"x".repeat(64)}:80`, "bind.unknown-host", `the name ${"x".repeat(64)} does not have an address`],
    ["[fe80::1%nowhere]:80", "bind.unknown-zone", "no network interface nowhere"],
    ["203.0.113.1:80", "bind.failed", "this machine does not have that address"],
  ])("%s", async (text, code, message) => {
    const error = await failing([text]);
    expect(error).toMatchObject({ code, exitCode: 125 });
    expect(error.message).toContain(`'${text}'`);
    expect(error.message).toContain(message);
    expect(error.hint).toBeString();
  });

  test.each(["steer", "share"] as const)(
    "a port that is taken is reported with the way to its process (%s)",
    async (cutover) => {
      using stranger = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const text = `127.0.0.1:${stranger.port}`;
      const error = await rejectionOf(hold([text], cutover));
      expect(error).toMatchObject({
        code: "bind.failed",
        message: `cannot bind '${text}': the port is taken`,
      });
      expect(error.hint).toContain(`sport = :${stranger.port}`);
    },
  );

  test("a descriptor that is a file, and one that does not listen", async () => {
    const file = openSync("/dev/null", "r");
    const plain = socket("inet");
    try {
      expect((await failing([`fd://${file}`])).message).toContain("is not a socket");
      expect((await failing([`fd://${plain}`])).message).toContain("does not listen");
    } finally {
      closeSync(file);
      close(plain);
    }
  });

  test("where one fails, none stays held", async () => {
    using dir = tempDir();
    const port = await freePort();
    const texts = [`127.0.0.1:${port}`, `unix:${dir.path}/a.sock`, `unix:${dir.path}/missing/b.sock`];
    expect(await failing(texts)).toMatchObject({ code: "bind.no-directory" });
    expect(readdirSync(dir.path)).toEqual([]);
    using again = await hold([`127.0.0.1:${port}`]);
    expect(again.all).toHaveLength(1);
  });
});
