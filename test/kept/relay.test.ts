/**
 * The relay by itself, as hupwatch uses it: connections are handed to it, a server listens where they were accepted, and what each side
 * gets is compared with what the other sent.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { openSync, readlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { relayProgram } from "../../src/intercept/programs.ts";
import type { Left } from "../../src/kept/protocol.ts";
import { RelayLink } from "../../src/kept/relay-link.ts";
import { hearOfBugs } from "../../src/os/aid.ts";
import { bind, close, listen, socket } from "../../src/os/libc.ts";
import { accept } from "../../src/os/libc-kept.ts";
import { encode } from "../../src/sockets/sockaddr.ts";
import { Connection } from "../harness/connection.ts";
import { processTree } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

const relay = new RelayLink(relayProgram());
afterAll(() => relay[Symbol.dispose]());

const KEPT: Omit<Left, "path"> = { isFresh: false, patienceMs: 20_000, isAnyPeer: false };

const relayProcess = () => {
  const found = processTree(process.pid).find(({ command }) => / relay 3 4$/.test(command));
  if (!found) throw new Error("no relay");
  return found.pid;
};

/** A server that is asked by the relay, and clients whose connections no server has any more. */
class Stage implements AsyncDisposable {
  readonly place = tempDir();
  readonly path = `${this.place.path}/served.sock`;
  readonly sockets: Socket[] = [];
  #listener = socket("unix");
  readonly #server: Server;

  private constructor(onConnection: (socket: Socket) => void) {
    bind(this.#listener, encode({ family: "unix", path: `${this.place.path}/left.sock` }));
    listen(this.#listener, 16);
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      this.sockets.push(socket);
      onConnection(socket);
    });
  }

  static async open(onConnection: (socket: Socket) => void): Promise<Stage> {
    const stage = new Stage(onConnection);
    await new Promise<void>((done) => stage.#server.listen(stage.path, done));
    return stage;
  }

  async client(how: Partial<Left> = {}): Promise<Connection> {
    const client = await Connection.open(`unix:${this.place.path}/left.sock`, 10_000);
    this.#join(how);
    return client;
  }

  /** One that may write whatever it wants. */
  async rawClient(): Promise<Socket> {
    const client = connect(`${this.place.path}/left.sock`);
    client.on("error", () => {});
    await new Promise<void>((done) => client.once("connect", done));
    this.#join({});
    return client;
  }

  #join(how: Partial<Left>): void {
    relay.join([{ fd: accept(this.#listener), left: { ...KEPT, path: this.path, ...how } }]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
    close(this.#listener);
    this.place[Symbol.dispose]();
  }
}

const moved = () => new Promise<void>((done) => relay.move(done));
const post = (body: string) =>
  Buffer.from(`POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
const answer = (body: string, more = "") =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;

/** Answers each whole request with the number of its connection and the length of its body. */
function counting(stage: () => Stage | undefined) {
  return (socket: Socket) => {
    const number = stage()?.sockets.length ?? 1;
    let got = "";
    socket.on("data", (bytes) => {
      got += bytes.toString("latin1");
      for (;;) {
        const [head, length] = /^POST [\s\S]*?Content-Length: (\d+)\r\n\r\n/.exec(got) ?? [];
        if (head === undefined || got.length < head.length + Number(length)) return;
        got = got.slice(head.length + Number(length));
        socket.write(answer(`${number} ${length}`));
      }
    });
    socket.on("end", () => socket.end());
  };
}

interface Heard {
  socket: Socket;
  got: string;
}

/** Says nothing, and notes what it gets on each of its connections. */
const hearing = (held: Heard[]) => (socket: Socket) => {
  const heard: Heard = { socket, got: "" };
  held.push(heard);
  socket.on("data", (bytes) => {
    heard.got += bytes.toString();
  });
};

describe("a connection that waits", () => {
  test("is joined at its first request, and gets another server at a move, between two of them", async () => {
    let stage: Stage | undefined;
    await using opened = await Stage.open(counting(() => stage));
    stage = opened;
    const client = await stage.client();
    expect(stage.sockets.length).toBe(0);
    expect((await client.exchange(post("hello"), 10_000)).body).toBe("1 5");
    expect((await client.exchange(post("again"), 10_000)).body).toBe("1 5");
    await moved();
    expect((await client.exchange(post("x".repeat(100_000)), 10_000)).body).toBe("2 100000");
    await client.close(0);
  }, 30_000);

  test("is closed where its client speaks anything but HTTP/1", async () => {
    await using stage = await Stage.open(() => {});
    for (const words of ["\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\n", "hello\r\n"]) {
      const client = await stage.client();
      const failure = await client.exchange(Buffer.from(words, "latin1"), 10_000).catch((error) => error);
      expect(`${failure}`).toMatch(/EOF|ECONNRESET|EPIPE/);
    }
    expect(stage.sockets.length).toBe(0);
  }, 30_000);

  test("is closed where its client is silent for too long", async () => {
    await using stage = await Stage.open(() => {});
    const client = await stage.client({ patienceMs: 50 });
    await until(() => client.over !== undefined, { what: "its end" });
    expect(stage.sockets.length).toBe(0);
  }, 30_000);
});

test("a fresh connection is joined at once, whatever it speaks", async () => {
  await using stage = await Stage.open((socket) =>
    socket.on("data", (bytes) => socket.write(answer(`${bytes}`))),
  );
  const client = await stage.client({ isFresh: true });
  await until(() => stage.sockets.length === 1, { what: "a server" });
  expect((await client.exchange(Buffer.from("EHLO"), 10_000)).body).toBe("EHLO");
  await client.close(0);
}, 30_000);

test("a move waits for the answer that is under way, and a request behind it goes to the next server", async () => {
  const held: Socket[] = [];
  await using stage = await Stage.open((socket) => socket.once("data", () => held.push(socket)));
  const client = await stage.client();
  const first = client.exchange(post("slow"), 20_000);
  await until(() => held.length === 1, { what: "the request" });
  await moved();
  held[0]?.write(answer("first"));
  expect((await first).body).toBe("first");
  const second = client.exchange(post("next"), 20_000);
  await until(() => held.length === 2, { what: "the next server" });
  held[1]?.write(answer("second"));
  expect((await second).body).toBe("second");
  await client.close(0);
}, 30_000);

// A random run (seed 1719082767): the next request went to the server that was about to stop, with the last bytes of the one before.
test("what comes in one piece with the end of a request goes to the next server at a move", async () => {
  const held: Heard[] = [];
  await using stage = await Stage.open(hearing(held));
  const client = await stage.client();
  const [first, second] = [post("early"), post("next")];
  // Answered before its body has come.
  const early = client.exchange(first.subarray(0, -2), 20_000);
  await until(() => held.length === 1, { what: "the first request" });
  await moved();
  held[0]?.socket.write(answer("1"));
  expect((await early).body).toBe("1");
  const next = client.exchange(Buffer.concat([first.subarray(-2), second]), 20_000);
  await until(() => held.length === 2 && held[1]?.got === `${second}`, { what: "the next server" });
  held[1]?.socket.write(answer("2"));
  expect((await next).body).toBe("2");
  expect(held[0]?.got).toBe(`${first}`);
  await client.close(0);
}, 30_000);

test("and stays behind it where there will be no next server", async () => {
  const held: Heard[] = [];
  await using stage = await Stage.open(hearing(held));
  const client = await stage.rawClient();
  const upgrade = Buffer.from("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
  client.write(upgrade.subarray(0, -2));
  await until(() => held.length === 1, { what: "a server" });
  await moved();
  client.write(Buffer.concat([upgrade.subarray(-2), Buffer.from("early words")]));
  await until(() => held[0]?.got === `${upgrade}`, { what: "the whole request" });
  held[0]?.socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n");
  await until(() => held[0]?.got === `${upgrade}early words`, { what: "what came behind it" });
  expect(held.length).toBe(1);
  client.destroy();
}, 30_000);

test("the end of the server is the client's, where it is no move", async () => {
  await using stage = await Stage.open((socket) => socket.once("data", () => socket.end(answer("last"))));
  const client = await stage.client();
  expect((await client.exchange(post("x"), 10_000)).body).toBe("last");
  await until(() => client.over !== undefined, { what: "its end" });
}, 30_000);

// Two random runs of ten (seed 2128455624) on a busy machine: requests behind one that was answered with Connection: close were not read yet, and the
// client, told of a broken connection, did not read its answer.
test("and the last answer is read by a client that goes on sending", async () => {
  await using stage = await Stage.open((socket) =>
    socket.once("data", () => {
      socket.pause();
      socket.end(answer("last"));
    }),
  );
  const client = await stage.rawClient();
  const errors: Error[] = [];
  client.on("error", (error) => errors.push(error));
  // More than any buffer on the way takes.
  client.write(Buffer.concat([post("x"), Buffer.alloc(4 << 20, "more")]));
  let said = "";
  client.on("data", (bytes) => {
    said += bytes.toString();
  });
  await until(() => client.readableEnded || client.destroyed, { what: "its end" });
  expect({ said, errors }).toEqual({ said: answer("last"), errors: [] });
  client.destroy();
}, 30_000);

// A random run (seed 1941257954) on a busy machine: the server had answered and closed when more was passed on to it, and its answer, which the
// relay had not read yet, was dropped for the EPIPE.
test("what a server has answered before it closed is read, also where it does not take what is sent meanwhile", async () => {
  const held: Heard[] = [];
  await using stage = await Stage.open(hearing(held));
  const client = await stage.rawClient();
  client.write(post("first"));
  await until(() => held[0]?.got === `${post("first")}`, { what: "the request" });
  let said = "";
  client.on("data", (bytes) => {
    said += bytes.toString();
  });
  const relayed = relayProcess();
  // Both wait for it, and it looks at its client first.
  process.kill(relayed, "SIGSTOP");
  try {
    client.write(post("second"));
    held[0]?.socket.write(answer("1"), () => held[0]?.socket.destroy());
    await until(() => held[0]?.socket.destroyed, { what: "the server's end" });
  } finally {
    process.kill(relayed, "SIGCONT");
  }
  await until(() => client.readableEnded || client.destroyed, { what: "its end" });
  expect(said).toBe(answer("1"));
  client.destroy();
}, 30_000);

test("what the server does not read, the relay does not keep: no more is taken from its client", async () => {
  const held: Socket[] = [];
  await using stage = await Stage.open((socket) => {
    socket.pause();
    held.push(socket);
  });
  const client = await stage.client();
  const size = 20 * 1024 * 1024;
  const exchange = client.exchange(post("y".repeat(size)), 60_000);
  await until(() => held.length === 1, { what: "a server" });
  let got = 0;
  const server = held[0] as Socket;
  server.on("data", (bytes) => {
    got += bytes.length;
    if (got > size) server.write(answer(`${got - size}`));
  });
  server.resume();
  expect(Number((await exchange).body)).toBeGreaterThan(0);
  await client.close(0);
}, 90_000);

// systemd.kill(5): with KillMode=control-group a unit is not started again before all of its processes have ended. One that waited for the
// clients of a hupwatch that was killed kept its service down for up to 75 s.
test("a signal that stops the service closes what is idle, and nothing that a server has", async () => {
  const held: Heard[] = [];
  await using stage = await Stage.open(hearing(held));
  const joined = await stage.client();
  const exchange = joined.exchange(post("first"), 20_000);
  await until(() => held[0]?.got === `${post("first")}`, { what: "the request" });
  const idle = await stage.rawClient();
  idle.resume();
  // It obeys in order: it has both then.
  await moved();
  process.kill(relayProcess(), "SIGTERM");
  await until(() => idle.readableEnded, { what: "the end of the one that is idle" });
  held[0]?.socket.write(answer("1"));
  expect((await exchange).body).toBe("1");
  await joined.close(0);
}, 30_000);

// It outlives its hupwatch: what reads that one's output to its end would wait for clients, and would read what the relay writes.
test("it has nothing of hupwatch's output, and what ends it is reported by hupwatch", async () => {
  await using stage = await Stage.open(hearing([]));
  await stage.client();
  const standard = [0, 1, 2].map((fd) => readlinkSync(`/proc/${relayProcess()}/fd/${fd}`));
  expect(standard).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
  const bugs: unknown[] = [];
  using _hearing = hearOfBugs((bug) => bugs.push(bug));
  using another = new RelayLink(relayProgram());
  another.join([{ fd: openSync("/dev/null", "r"), left: null as never }]);
  await until(() => bugs.length > 0, { what: "the bug", timeoutMs: 20_000 });
  expect(`${bugs[0]}`).toMatch(/the relay has ended: TypeError: .*null/);
}, 30_000);
