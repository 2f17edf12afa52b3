/**
 * The counting client against servers with one fault each. A "0 failures" of the end-to-end tests is worth what these
 * show: every class of loss is seen, under its right name, and nothing is ever sent twice.
 */
import { describe, expect, test } from "bun:test";
import { linkSync } from "node:fs";
import type { Socket } from "bun";
import { PYTHON } from "../setup/places.ts";
import { Client, type ClientOptions } from "./client.ts";
import { freePort } from "./free-port.ts";
import { startLoad } from "./load.ts";
import type { LoadReport } from "./tally.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

const REQUESTS = 50;

interface Seen {
  /** Its number over all connections, from 1. */
  nth: number;
  /** Its number on its connection, from 1. */
  onConnection: number;
  id: string;
}

type Behaviour = (socket: Socket<Bytes>, seen: Seen) => void;
interface Bytes {
  text: string;
  requests: number;
}

/** Behaves so for each request whose head has arrived. */
function faultyServer(target: { unix: string } | { hostname: string; port: number }, behave: Behaviour) {
  let received = 0;
  const listener = Bun.listen<Bytes>({
    ...target,
    socket: {
      open(socket) {
        socket.data = { text: "", requests: 0 };
      },
      data(socket, bytes) {
        const { data } = socket;
        data.text += bytes.toString("latin1");
        if (!data.text.includes("\r\n\r\n")) return;
        const id = /X-Request-Id: (\S+)/.exec(data.text)?.[1] ?? "";
        data.text = "";
        behave(socket, { nth: ++received, onConnection: ++data.requests, id });
      },
      error() {},
    },
  } as Bun.TCPSocketListenOptions<Bytes>);
  return {
    target: "unix" in target ? `unix:${target.unix}` : `127.0.0.1:${listener.port}`,
    received: () => received,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

/** Runs until so many were sent. `concurrency` 1 keeps the server's view and the client's in step. */
async function drive(options: ClientOptions, requests = REQUESTS): Promise<LoadReport> {
  const client = new Client({ concurrency: 1, timeoutMs: 2000, ...options });
  client.start();
  await until(() => client.report.sent >= requests, { what: `${requests} requests` });
  return client.stop();
}

const good = (id: string, version = "1", more = "") =>
  `HTTP/1.1 200 OK\r\nX-Version: ${version}\r\nX-Request-Id: ${id}\r\n${more}Content-Length: 5\r\n\r\nhello`;

const FAULTS: { name: string; expected: string; options?: Partial<ClientOptions>; behave: Behaviour }[] = [
  {
    name: "closes without an answer",
    expected: "first-byte EOF",
    behave: (socket) => socket.end(),
  },
  {
    name: "closes in the header",
    expected: "header EOF",
    behave: (socket) => socket.end("HTTP/1.1 200 OK\r\nX-Ver"),
  },
  {
    name: "closes in a body of known length",
    expected: "body EOF",
    behave: (socket, { id }) => socket.end(good(id).slice(0, -1)),
  },
  {
    name: "closes before the last chunk",
    expected: "body EOF",
    behave: (socket) => socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
  },
  {
    name: "answers garbage",
    expected: "header GARBAGE",
    behave: (socket) => socket.end("whatever\r\n\r\n"),
  },
  {
    name: "answers more than it said",
    expected: "body SURPLUS",
    behave: (socket, { id }) => socket.end(`${good(id)}!`),
  },
  {
    name: "answers 503",
    expected: "status 503",
    behave: (socket, { id }) => socket.end(good(id).replace("200 OK", "503 Busy")),
  },
  {
    name: "answers without a version",
    expected: "version MISSING",
    behave: (socket, { id }) => socket.end(good(id).replace("X-Version", "X-Other")),
  },
  {
    name: "answers with a version that was not expected",
    expected: "version UNEXPECTED 2",
    options: { versions: ["1"] },
    behave: (socket, { id }) => socket.end(good(id, "2")),
  },
  {
    name: "gives the answer to another request",
    expected: "echo ID",
    behave: (socket) => socket.end(good("somebody-else")),
  },
  {
    name: "gets a mangled upload",
    expected: "echo SUM",
    options: { mode: "post", bodyBytes: 10 },
    behave: (socket, { id }) => socket.end(good(id)),
  },
  {
    name: "closes a kept connection instead of answering",
    expected: "first-byte EOF (reused)",
    options: { mode: "keep-alive" },
    behave: (socket, { id, onConnection }) => {
      if (onConnection === 1) socket.write(good(id));
      else socket.end();
    },
  },
];

describe.each(["unix", "tcp"])("over %s, a server that", (kind) => {
  test.each(FAULTS)("$name is counted as '$expected'", async ({ expected, options, behave }) => {
    using dir = tempDir();
    const at = kind === "unix" ? { unix: `${dir.path}/s` } : { hostname: "127.0.0.1", port: 0 };
    using server = faultyServer(at, behave);
    const report = await drive({ target: server.target, ...options });
    const expectedCount = expected.endsWith("(reused)") ? report.failed : report.sent;
    expect(report.failures).toEqual({ [expected]: expectedCount });
    expect(report.failed).toBeGreaterThan(0);
    expect(report.ok + report.failed).toBe(report.sent);
    expect(server.received()).toBe(report.sent);
  });

  test("closes with the upload unread is counted before the first byte", async () => {
    using dir = tempDir();
    const at = kind === "unix" ? { unix: `${dir.path}/s` } : { hostname: "127.0.0.1", port: 0 };
    using server = faultyServer(at, (socket) => socket.terminate());
    // More than the kernel's buffers hold, so that something is unread for sure when the server closes.
    const options = { target: server.target, mode: "post", bodyBytes: 16 << 20 } as const;
    const report = await drive(options, 10);
    // A write to a closed Unix socket is EPIPE, and Bun's close handler does not tell it from an orderly close.
    const errno = kind === "unix" ? "EOF" : "ECONNRESET";
    expect(report.failures).toEqual({ [`first-byte ${errno}`]: report.sent });
  });

  test("fails each tenth request loses each tenth request, by count", async () => {
    using dir = tempDir();
    const at = kind === "unix" ? { unix: `${dir.path}/s` } : { hostname: "127.0.0.1", port: 0 };
    using server = faultyServer(at, (socket, { nth, id }) => socket.end(nth % 10 === 0 ? "" : good(id)));
    const report = await drive({ target: server.target, concurrency: 4 }, 500);
    expect(report.failures).toEqual({ "first-byte EOF": Math.floor(report.sent / 10) });
    expect(server.received()).toBe(report.sent);
  });
});

describe("nobody behind the address:", () => {
  test("no path is 'connect ENOENT'", async () => {
    using dir = tempDir();
    const report = await drive({ target: `unix:${dir.path}/none` });
    expect(report.failures).toEqual({ "connect ENOENT": report.sent });
  });

  test("a socket file without a listener is 'connect ECONNREFUSED'", async () => {
    using dir = tempDir();
    const listener = Bun.listen({ unix: `${dir.path}/s`, socket: { data() {} } });
    // The second name stays when Bun unlinks the first.
    linkSync(`${dir.path}/s`, `${dir.path}/left`);
    listener.stop(true);
    const report = await drive({ target: `unix:${dir.path}/left` });
    expect(report.failures).toEqual({ "connect ECONNREFUSED": report.sent });
  });

  test("a listener that closes with a connection in its queue is one ECONNRESET, then ECONNREFUSED", async () => {
    using dir = tempDir();
    const neverAccepts = [
      "import select, socket, sys",
      "listener = socket.socket(socket.AF_UNIX)",
      "listener.bind(sys.argv[1])",
      "listener.listen()",
      "print('ready', flush=True)",
      "select.select([listener], [], [])",
    ].join("\n");
    const server = Bun.spawn([PYTHON, "-c", neverAccepts, `${dir.path}/s`], { stdout: "pipe" });
    await server.stdout.getReader().read();
    const report = await drive({ target: `unix:${dir.path}/s` }, 10);
    await server.exited;
    // The kernel may tell it at connect(2) already.
    const resets = Object.entries(report.failures).filter(([what]) =>
      /^(connect|first-byte) ECONNRESET$/.test(what),
    );
    expect(resets.map(([, count]) => count)).toEqual([1]);
    expect(report.failures["connect ECONNREFUSED"]).toBe(report.sent - 1);
  });

  test("a closed port is 'connect ECONNREFUSED'", async () => {
    const report = await drive({ target: `127.0.0.1:${await freePort()}` });
    expect(report.failures).toEqual({ "connect ECONNREFUSED": report.sent });
  });
});

describe("a silent server is our own deadline, told by phase:", () => {
  test.each([
    ["first-byte ETIMEDOUT", ""],
    ["header ETIMEDOUT", "HTTP/1.1 200 OK\r\n"],
    ["body ETIMEDOUT", good("x").slice(0, -2)],
  ])("%s", async (expected, text) => {
    using server = faultyServer({ hostname: "127.0.0.1", port: 0 }, (socket) => socket.write(text));
    const report = await drive({ target: server.target, timeoutMs: 30 }, 3);
    expect(report.failures).toEqual({ [expected]: report.sent });
  });
});

describe("a good server", () => {
  test.each(["fresh", "keep-alive"] as const)("has no failure (%s)", async (mode) => {
    using server = faultyServer({ hostname: "127.0.0.1", port: 0 }, (socket, { id }) => {
      socket.write(good(id));
      if (mode === "fresh") socket.end();
    });
    const report = await drive({ target: server.target, mode, concurrency: 4 }, 500);
    expect(report.failures).toEqual({});
    expect(report.ok).toBe(report.sent);
    expect(server.received()).toBe(report.sent);
    expect(Object.keys(report.versions)).toEqual(["1"]);
  });

  test("may cut its answer anywhere: chunked and close-delimited answers are put together", async () => {
    const whole = (id: string) => {
      const head = `HTTP/1.1 200 OK\r\nX-Version: 1\r\nX-Request-Id: ${id}\r\n`;
      return [
        `${head}Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`,
        `${head}\r\nhello`,
      ];
    };
    using server = faultyServer({ hostname: "127.0.0.1", port: 0 }, (socket, { nth, id }) => {
      const text = whole(id)[nth % 2] ?? "";
      const cut = nth % text.length;
      socket.write(text.slice(0, cut));
      setImmediate(() => socket.end(text.slice(cut)));
    });
    const report = await drive({ target: server.target }, 300);
    expect(report.failures).toEqual({});
  });

  test("gets requests at the rate that was asked for", async () => {
    using server = faultyServer({ hostname: "127.0.0.1", port: 0 }, (socket, { id }) => socket.end(good(id)));
    const startMs = performance.now();
    const report = await drive({ target: server.target, rate: 500 }, 250);
    const seconds = (performance.now() - startMs) / 1000;
    expect(report.failures).toEqual({});
    // Never more than the schedule; a busy machine may give less.
    expect(report.sent).toBeLessThanOrEqual(500 * seconds + 1);
  });
});

describe("versions", () => {
  test("an old version on a connection begun after a newer one answered went back", async () => {
    // 1 1 2 2 2 1 1 1 ...: the sixth and all later ones went back.
    using server = faultyServer({ hostname: "127.0.0.1", port: 0 }, (socket, { nth, id }) =>
      socket.end(good(id, nth > 2 && nth < 6 ? "2" : "1")),
    );
    const report = await drive({ target: server.target });
    expect(report.wentBack).toBe(report.sent - 5);
    expect(report.versions["2"]?.count).toBe(3);
    expect(report.lastVersion).toBe("1");
  });

  test("a connection kept from before the swap may go on with the old version", async () => {
    // The first connection always answers 1, all others 2: only a fresh connection could go back.
    let first: Socket<Bytes> | undefined;
    using server = faultyServer({ hostname: "127.0.0.1", port: 0 }, (socket, { id }) => {
      first ??= socket;
      if (socket === first) socket.write(good(id, "1"));
      else socket.end(good(id, "2"));
    });
    const client = new Client({ target: server.target, mode: "keep-alive", concurrency: 1 });
    client.start();
    await until(() => client.report.ok > 0, { what: "an answer of version 1" });
    const other = await drive({ target: server.target });
    const answers = client.report.ok;
    await until(() => client.report.ok > answers, { what: "another answer of version 1" });
    const report = await client.stop();
    expect(other.lastVersion).toBe("2");
    expect(report.lastVersion).toBe("1");
    expect(report.wentBack).toBe(0);
  });
});

describe("in a process of its own", () => {
  test("the client reports the same numbers, and waits for the first answer where asked", async () => {
    using dir = tempDir();
    const unix = `${dir.path}/s`;
    const starting = startLoad({ target: `unix:${unix}`, afterFirstOk: true, concurrency: 2 });
    using server = faultyServer({ unix }, (socket, { nth, id }) => socket.end(nth === 100 ? "" : good(id)));
    await using load = await starting;
    await load.more(200);
    const report = await load.stop();
    expect(report.failures).toEqual({ "first-byte EOF": 1 });
    expect(report.sent).toBe(server.received());
  });
});
