/** A held TCP port: hupwatch alone decides which listener gets a new connection. On the real kernel, no mock of a selector. */
import { afterEach, describe, expect, test } from "bun:test";
import { isIPv6 } from "node:net";
import type { Listener } from "../../src/sockets/held.ts";
import { HeldTcp } from "../../src/sockets/held-tcp.ts";
import { Probe } from "../../src/sockets/probe.ts";
import { format, type InetAddress } from "../../src/sockets/sockaddr.ts";
import { canBePowerless, copyForAll, powerless } from "../harness/another-user.ts";
import { freePort } from "../harness/free-port.ts";
import { startLoad } from "../harness/load.ts";
import { runScript } from "../harness/scripts.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { Random } from "../swap/random.ts";
import { type Answering, answering, versionAt } from "./answering.ts";

const CLIENT = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n");

function hold(host: string, port = 0): HeldTcp {
  const address: InetAddress = { family: isIPv6(host) ? "inet6" : "inet", host, port };
  return new HeldTcp({ name: "x", text: format(address), address: { kind: "tcp", host, port } }, address, {
    backlog: 512,
  });
}

/** Asks the way a readiness check does. */
async function probed(listener: Listener): Promise<string> {
  using probe = listener.connect();
  return await answerOf(probe);
}

async function answerOf(probe: Probe): Promise<string> {
  await until(() => probe.connected(), { what: "the connection", everyMs: 1 });
  probe.write(CLIENT);
  let text = "";
  await until(
    () => {
      const bytes = probe.read();
      if (bytes instanceof Uint8Array) text += new TextDecoder().decode(bytes);
      return bytes === "eof";
    },
    { what: "the answer", everyMs: 1 },
  );
  return /X-Version: (\w+)/.exec(text)?.[1] ?? text;
}

const cleanup: Disposable[] = [];
afterEach(() => {
  for (const one of cleanup.splice(0)) one[Symbol.dispose]();
});
function serve(held: HeldTcp, version: string): { listener: Listener; server: Answering } {
  const listener = held.listenFor(Number.parseInt(version, 10) || 0);
  const server = answering(listener.fd, version);
  cleanup.push(server);
  return { listener, server };
}

describe.each(["127.0.0.1", "0.0.0.0", "::1", "::"])("steering on %s", (host) => {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;

  test("every one of hundreds of connections lands where it should, over and over", async () => {
    using held = hold(host);
    const all = ["1", "2", "3"].map((version) => serve(held, version));
    held.steerTo((all[0] as (typeof all)[0]).listener);
    const target = format({ ...held.address, host: reachable });
    await using load = await startLoad({ target, concurrency: 8 });
    for (const chosen of [1, 2, 0, 2]) {
      const { listener } = all[chosen] as (typeof all)[0];
      held.steerTo(listener);
      // What had connected before the flip is still being answered.
      await load.more(20);
      const before = all.map(({ server }) => server.accepted);
      await load.more(250);
      const grew = all.map(({ server }, i) => server.accepted > (before[i] ?? 0));
      expect(grew).toEqual(all.map((_, i) => i === chosen));
    }
    expect(await load.stop()).toMatchObject({ failures: {} });
  });

  test("a probe reaches the new listener while all other clients stay on the old one", async () => {
    using held = hold(host);
    const [old, young] = [serve(held, "1"), serve(held, "2")];
    held.steerTo(old.listener);
    const target = format({ ...held.address, host: reachable });
    await using load = await startLoad({ target, concurrency: 8, versions: ["1"] });
    await load.more(1);
    for (let i = 0; i < 40; i++) expect(await probed(young.listener)).toBe("2");
    await load.more(100);
    expect(young.server.accepted).toBe(40);
    expect(await load.stop()).toMatchObject({ failures: {}, lastVersion: "1" });
  });

  test("two probes at once each reach their own", async () => {
    using held = hold(host);
    const [old, young] = [serve(held, "1"), serve(held, "2")];
    held.steerTo(old.listener);
    using first = young.listener.connect();
    using second = young.listener.connect();
    expect(await answerOf(second)).toBe("2");
    expect(await answerOf(first)).toBe("2");
    expect(await probed(old.listener)).toBe("1");
  });
});

test("dual stack: IPv4 clients of [::] are steered like the others, also while a probe is under way", async () => {
  using held = hold("::");
  const [old, young] = [serve(held, "1"), serve(held, "2")];
  held.steerTo(old.listener);
  const v4 = { hostname: "127.0.0.1", port: held.address.port };
  using probe = young.listener.connect();
  expect(await versionAt(v4)).toBe("1");
  expect(await answerOf(probe)).toBe("2");
  held.steerTo(young.listener);
  expect(await versionAt(v4)).toBe("2");
});

test("an IPv4-mapped address is probed by its IPv4 packets", async () => {
  using held = hold("::ffff:127.0.0.1");
  const [old, young] = [serve(held, "1"), serve(held, "2")];
  held.steerTo(old.listener);
  expect(await probed(young.listener)).toBe("2");
  expect(await versionAt({ hostname: "127.0.0.1", port: held.address.port })).toBe("1");
});

test("a probe that is given up leaves the old one all clients", async () => {
  using held = hold("127.0.0.1");
  const [old, young] = [serve(held, "1"), serve(held, "2")];
  held.steerTo(old.listener);
  young.listener.connect()[Symbol.dispose]();
  expect(await versionAt({ hostname: "127.0.0.1", port: held.address.port })).toBe("1");
});

describe("slots", () => {
  test("50 swaps with up to four generations at once: the newest gets all, and no more sockets than generations", async () => {
    using held = hold("127.0.0.1");
    const random = new Random(7);
    const seen = new Set<number>();
    const living: ReturnType<typeof serve>[] = [];
    for (let version = 1; version <= 50; version++) {
      const young = serve(held, String(version));
      seen.add(young.listener.fd as number);
      if (version > 1) expect(await probed(young.listener)).toBe(String(version));
      held.steerTo(young.listener);
      living.push(young);
      for (let i = 0; i < 5; i++)
        expect(await versionAt({ hostname: "127.0.0.1", port: held.address.port })).toBe(String(version));
      // The dead go in any order, but never the one that serves.
      if (living.length === 4) {
        const [gone] = living.splice(random.below(3), 1);
        gone?.server[Symbol.dispose]();
        gone?.listener[Symbol.dispose]();
      }
    }
    expect(seen.size).toBeLessThanOrEqual(4);
  });

  test("a client in a dead generation's queue is answered by the next one in its place", async () => {
    using held = hold("127.0.0.1");
    const dead = held.listenFor(1);
    held.steerTo(dead);
    using waiting = Probe.tcp(held.address);
    await until(() => dead.hasQueued(), { what: "the connection to wait" });
    dead[Symbol.dispose]();
    serve(held, "2");
    expect(await answerOf(waiting)).toBe("2");
  });

  test("a listener that its generation shut down is not used again, and those left are steered as before", async () => {
    using held = hold("127.0.0.1");
    const target = { hostname: "127.0.0.1", port: held.address.port };
    const [one, two, three] = [held.listenFor(1), serve(held, "2"), serve(held, "3")] as const;
    for (const next of [two, three]) {
      held.steerTo(next.listener);
      expect(await versionAt(target)).toBe(next === two ? "2" : "3");
    }
    await shutDown(one);
    expect(thrownBy(() => held.steerTo(one))).toMatchObject({ code: "socket.shut-down" });
    one[Symbol.dispose]();
    const four = serve(held, "4");
    for (const [next, version] of [
      [four, "4"],
      [two, "2"],
      [three, "3"],
    ] as const) {
      expect(await probed(next.listener)).toBe(version);
      held.steerTo(next.listener);
      for (let i = 0; i < 20; i++) expect(await versionAt(target)).toBe(version);
    }
  });
});

/** What uWSGI does to its listeners at exit: shutdown(2) works on the socket itself, also while other processes have it open. */
async function shutDown({ fd }: Listener): Promise<void> {
  const script = "import socket; socket.socket(fileno=3).shutdown(socket.SHUT_RDWR)";
  await Bun.spawn([PYTHON, "-c", script], { stdio: ["ignore", "inherit", "inherit", fd] }).exited;
}

describe("what the kernel refuses", () => {
  test("a port that is taken", async () => {
    const port = await freePort();
    using _stranger = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
    const error = thrownBy(() => hold("127.0.0.1", port));
    expect(error).toMatchObject({
      code: "bind.failed",
      exitCode: 125,
      message: `cannot bind '127.0.0.1:${port}': the port is taken`,
    });
    expect(error.hint).toContain(`sport = :${port}`);
    expect(thrownBy(() => hold("0.0.0.0", port)).message).toContain("the port is taken");
  });

  test("a group of the same user is not joined: half of a stranger's connections would be ours", async () => {
    const port = await freePort();
    const script = `import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", ${port})); s.listen(); print("up", flush=True); sys.stdin.read()`;
    await using stranger = Bun.spawn([PYTHON, "-c", script], { stdio: ["pipe", "pipe", "inherit"] });
    await stranger.stdout.getReader().read();
    expect(thrownBy(() => hold("127.0.0.1", port)).message).toContain("the port is taken");
  });

  test("an address that this machine has not", () => {
    const error = thrownBy(() => hold("203.0.113.1", 8000));
    expect(error.message).toBe("cannot bind '203.0.113.1:8000': this machine does not have that address");
    expect(error.hint).toContain("ip addr");
  });

  test.skipIf(!canBePowerless)("a port below 1024 without the right", async () => {
    using copy = copyForAll();
    const output = await runScript(
      `const { HeldTcp } = await import("./src/sockets/held-tcp.ts");
       const address = { family: "inet", host: "127.0.0.1", port: 81 };
       try {
         new HeldTcp({ name: "x", text: ":81", address }, address, { backlog: 1 });
       } catch ({ message, hint }) {
         console.log(message + "\\n" + hint);
       }`,
      { ...copy, prefix: powerless },
    );
    expect(output).toStartWith(
      "cannot bind ':81' (127.0.0.1:81): ports below 1024 require CAP_NET_BIND_SERVICE",
    );
    expect(output).toContain("CAP_NET_BIND_SERVICE");
  });

  test("steering to another socket's listener is a bug and says so", () => {
    using held = hold("127.0.0.1");
    using other = hold("127.0.0.1");
    expect(() => held.steerTo(other.listenFor(1))).toThrow(RangeError);
  });
});
