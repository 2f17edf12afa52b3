/** Clients of the control socket that mean no good, or nothing: none of them harms it, and none delays a swap. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import type { ReloadAnswer } from "../../src/control/protocol.ts";
import { asUser, NOBODY } from "../harness/another-user.ts";
import { cli, type Home, home } from "../harness/cli.ts";
import { type Hupwatch, startHupwatch } from "../harness/hupwatch.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

/** Each of its commands is a start of the runtime, and the machine may be busy. */
setDefaultTimeout(120_000);

let place: Home;
let hupwatch: Hupwatch;
let socket: string;

beforeAll(async () => {
  place = home();
  socket = `${place.path}/hupwatch/abused.sock`;
  const options = ["-k", "-w", "0", "--name", "abused", "--ready", "delay:0"];
  hupwatch = await startHupwatch([...options, "--handover", "none", "--", "sleep", "1000"], {
    env: place.env,
  });
});

afterAll(async () => {
  await hupwatch[Symbol.asyncDispose]();
  place[Symbol.dispose]();
});

interface Raw {
  socket: Bun.Socket;
  received(): string;
  closed(): boolean;
}

async function connect(): Promise<Raw> {
  let text = "";
  let closed = false;
  const raw = await Bun.connect({
    unix: socket,
    socket: {
      data: (_, bytes) => {
        text += bytes.toString();
      },
      close: () => {
        closed = true;
      },
      error: () => {},
    },
  });
  return { socket: raw, received: () => text, closed: () => closed };
}

/** What comes back for these bytes, until the server closes. */
async function exchange(bytes: string): Promise<string> {
  const raw = await connect();
  raw.socket.write(bytes);
  await until(raw.closed, { what: "the server to close", context: raw.received });
  return raw.received();
}

/** The service goes on, and is swapped without waiting for any client. */
async function stillSwaps(): Promise<ReloadAnswer> {
  const { stdout, stderr, exitCode } = await cli(["reload", "abused", "--json"], place);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const answer = JSON.parse(stdout) as ReloadAnswer;
  // From the new generation's start to the cutover; the settle time is all that it is given here.
  expect(answer.durationMs).toBeLessThan(3000);
  return answer;
}

test("the directory is 0700 and the socket 0600", () => {
  expect(statSync(`${place.path}/hupwatch`).mode & 0o777).toBe(0o700);
  expect(statSync(socket).mode & 0o777).toBe(0o600);
});

test.each([
  ["garbage", "\x00\xff\x16\x03\x01 what?\r\n\r\n", "400"],
  ["another protocol's version", "GET /status HTTP/3\r\n\r\n", "400"],
  ["an unknown path", "GET /etc/passwd HTTP/1.1\r\n\r\n", "404"],
  ["a reload by GET, as a link would be", "GET /reload HTTP/1.1\r\n\r\n", "405"],
  ["an endless head", `GET /status HTTP/1.1\r\nX: ${"x".repeat(100_000)}`, "431"],
  ["an endless first line", "x".repeat(100_000), "431"],
])("%s is refused", async (_, bytes, status) => {
  expect(await exchange(bytes)).toStartWith(`HTTP/1.1 ${status} `);
});

test("a request in pieces is one request", async () => {
  const raw = await connect();
  for (const piece of ["GET /sta", "tus HTTP/1.1\r", "\nHost: x\r\n", "\r", "\n"]) {
    raw.socket.write(piece);
    raw.socket.flush();
    await Bun.sleep(5);
  }
  await until(raw.closed, { what: "the answer" });
  expect(raw.received()).toContain('"schema":"hupwatch-status/1"');
});

test("a body that is not needed is not read, and does no harm", async () => {
  const body = "x".repeat(50_000);
  const answer = await exchange(
    `POST /reload?wait=0 HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  expect(answer).toContain('"outcome":"asked"');
  await stillSwaps();
});

test("a client that sends half a request is dropped after some seconds", async () => {
  const raw = await connect();
  raw.socket.write("GET /status HTT");
  await until(raw.closed, { what: "the server to lose patience", timeoutMs: 15_000 });
  expect(raw.received()).toBe("");
}, 120_000);

test("200 idle connections, and as many listeners as fit, delay no swap", async () => {
  const idle: Raw[] = [];
  for (let i = 0; i < 200; i++) idle.push(await connect());
  const listeners = await Promise.all(Array.from({ length: 20 }, connect));
  for (const { socket: raw } of listeners) raw.write("GET /events HTTP/1.1\r\n\r\n");
  await until(() => listeners.every((l) => l.received().includes("listening")), { what: "20 event streams" });
  const { generation } = await stillSwaps();
  await until(() => listeners.every((l) => l.received().includes(`"generation":${generation}`)), {
    what: "the swap to be told to all",
  });
  for (const raw of [...idle, ...listeners]) raw.socket.terminate();
});

test("a client that comes late has the events from the start, and one that comes back those it missed", async () => {
  const late = await connect();
  late.socket.write("GET /events?since=0 HTTP/1.1\r\n\r\n");
  await until(() => late.received().includes("event: generation.serves"), { what: "what is over by now" });
  const ids = [...late.received().matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  expect(ids).toEqual(ids.map((_, i) => i + 1));
  expect(late.received()).toMatch(/id: 1\nevent: run\.plan\n/);
  const back = await connect();
  back.socket.write(`GET /events?since=${ids.length - 1} HTTP/1.1\r\n\r\n`);
  await until(() => back.received().includes("data: "), { what: "the last event" });
  expect(back.received()).toContain(`id: ${ids.length}\n`);
  expect(back.received()).not.toContain(`id: ${ids.length - 1}\n`);
  for (const raw of [late, back]) raw.socket.terminate();
  expect(await exchange("GET /events?since=x HTTP/1.1\r\n\r\n")).toContain("400");
});

// F17: "with 64 silent /events clients of the same user `hupwatch reload` says rc 4 'nobody listens (ECONNRESET) / no such hupwatch'
// though it lives (status: rc 3, stop: rc 1); 1000 concurrent POST /reload: 128 answered, the others reset without a 503".
describe("F17: a crowd of the same user's clients", () => {
  const crowd = async (size: number, request: string): Promise<Raw[]> => {
    const clients: Raw[] = [];
    for (let i = 0; i < size; i++) {
      // On a busy machine they come faster than hupwatch has its turn: then its queue of 128 is full for a moment.
      const client = await until(() => connect().catch(() => undefined), { what: "room in the queue" });
      client.socket.write(request);
      clients.push(client);
    }
    return clients;
  };
  const leave = (clients: Raw[]) => {
    for (const client of clients) client.socket.terminate();
  };

  test("as many silent listeners as there may be: one more is told so, and every other client is answered", async () => {
    const listeners = await crowd(64, "GET /events HTTP/1.1\r\n\r\n");
    await until(() => listeners.every((l) => l.received().includes("listening")), { what: "64 streams" });
    expect(await exchange("GET /events HTTP/1.1\r\n\r\n")).toMatch(
      /^HTTP\/1.1 503 .*"64 clients read events already"/s,
    );
    await stillSwaps();
    const status = await cli(["status", "abused"], place);
    expect(status).toMatchObject({ exitCode: 0, stderr: "" });
    leave(listeners);
  });

  test("300 clients that want a swap at once: each gets its outcome or is told why not, and none is cut off", async () => {
    const clients = await crowd(300, "POST /reload HTTP/1.1\r\n\r\n");
    await until(() => clients.every((c) => c.closed()), { what: "300 answers" });
    const kinds = clients.map(
      (c) => /^HTTP\/1.1 (200|503) .*(swapped|clients wait for an outcome)/s.exec(c.received())?.[1],
    );
    expect(kinds.filter((kind) => kind === undefined)).toEqual([]);
    expect(kinds.filter((kind) => kind === "200").length).toBeGreaterThanOrEqual(128);
    await stillSwaps();
  });

  test("ever more silent clients: the oldest are dropped, and a client with a request is answered", async () => {
    const silent = await crowd(700, "");
    await stillSwaps();
    await until(() => silent.filter((c) => c.closed()).length >= 150, { what: "the oldest to be let go" });
    leave(silent);
  });
});

describe("what a client is told where it is not answered", () => {
  /** A socket at that path that answers so, or accepts nobody. */
  const script = `import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(int(sys.argv[2])); print("up", flush=True)
while len(sys.argv) > 3:
    c, _ = s.accept(); c.recv(9999); c.sendall(sys.argv[3].encode()); c.close()
time.sleep(1000)`;

  async function standIn(name: string, ...args: string[]) {
    const path = `${place.path}/${name}`;
    const child = Bun.spawn([PYTHON, "-c", script, path, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    await child.stdout.getReader().read();
    return { path, [Symbol.dispose]: () => child.kill("SIGKILL") };
  }

  test.each(["reload", "stop", "status"])(
    "%s: a queue that is full is no missing hupwatch: exit code 3",
    async (name) => {
      using stopped = await standIn(`full-${name}`, "0");
      const first = await Bun.connect({ unix: stopped.path, socket: { data() {} } });
      const { exitCode, stdout, stderr } = await cli([name, stopped.path], place);
      expect(stdout + stderr).toContain("it does not accept a connection (EAGAIN)");
      expect(exitCode).toBe(3);
      first.terminate();
    },
  );

  test.each(["reload", "stop", "status"])("%s: a 503 is what it says, and exit code 3", async (name) => {
    const body = '{"error":"128 clients wait already"}';
    const answer = `HTTP/1.1 503 Service Unavailable\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    using busy = await standIn(`busy-${name}`, "8", answer);
    const { exitCode, stdout, stderr } = await cli([name, busy.path], place);
    expect(stdout + stderr).toContain("128 clients wait already");
    expect(exitCode).toBe(3);
  });
});

test("the swap of a client that goes away after its request is carried out", async () => {
  const before = hupwatch.count(/generation \d+ serves/);
  const raw = await connect();
  raw.socket.write("POST /reload HTTP/1.1\r\n\r\n");
  await until(() => hupwatch.count(/generation \d+ started/) > before, { what: "the swap to begin" });
  raw.socket.terminate();
  await until(() => hupwatch.count(/generation \d+ serves/) > before, { what: "the swap" });
});

const isRoot = process.getuid?.() === 0;
test.skipIf(!isRoot)(
  "another user is refused even where the permissions would let him (needs root)",
  async () => {
    chmodSync(place.path, 0o711);
    chmodSync(`${place.path}/hupwatch`, 0o711);
    chmodSync(socket, 0o666);
    const script = `import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.settimeout(5)
try:
    s.sendall(b"GET /status HTTP/1.1\\r\\n\\r\\n"); print("got", s.recv(100))
except OSError as e: print("refused", e.errno)`;
    writeFileSync(`${place.path}/ask.py`, script, { mode: 0o644 });
    const asked = Bun.spawnSync(asUser(NOBODY, [PYTHON, `${place.path}/ask.py`, socket]), { stderr: "pipe" });
    expect(asked.stdout.toString()).toMatch(/^(refused \d+|got b'')\n$/);
    chmodSync(`${place.path}/hupwatch`, 0o700);
    await stillSwaps();
  },
);

test("while nobody asks, nothing is left open", async () => {
  const sockets = async () => {
    const listing = Bun.spawnSync(["sh", "-c", `ls -l /proc/${hupwatch.pid}/fd | grep -c socket:`]);
    return Number(listing.stdout.toString());
  };
  // The control socket's own listener.
  await until(async () => (await sockets()) === 1, {
    what: "all connections to be closed",
    timeoutMs: 15_000,
  });
}, 120_000);
