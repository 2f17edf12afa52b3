/**
 * Random clients of the relay, before a real server (Node's) that is replaced again and again: requests in any pieces, pipelined, slow, with
 * chunks and trailers, 100-continue, answers that come before the body has, half closes, ends in the middle. Each answer is the right one,
 * byte for byte, nothing is executed twice, and no body is executed as a request. `SEED=N` plays a run again.
 */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { relayProgram } from "../../src/intercept/programs.ts";
import { RelayLink } from "../../src/kept/relay-link.ts";
import { bind, close, listen, socket } from "../../src/os/libc.ts";
import { accept } from "../../src/os/libc-kept.ts";
import { encode } from "../../src/sockets/sockaddr.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";
import { Random } from "../swap/random.ts";
import { Answers } from "./answers.ts";

const CONNECTIONS = 40;
const REQUESTS_MAX = 12;
const MOVES = 8;
const TIMEOUT_MS = 60_000;

const HOWS = ["plain", "plain", "chunked", "early", "hints", "slow", "close"] as const;
type How = (typeof HOWS)[number];

/** All of it is a body, whatever it looks like. */
const EVIL = "POST /evil HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

interface Request {
  id: string;
  how: How;
  isHead: boolean;
  expects: boolean;
  head: string;
  body: string;
  /** Of the body, as the server reads it. */
  sum: string;
}

const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
const filling = (id: string) => sha256(id).repeat(1 + (id.length % 3) * 40);

function newRequest(random: Random, id: string): Request {
  const isHead = random.chance(0.1);
  const how = random.pick(HOWS);
  const hasChunks = !isHead && random.chance(0.4);
  const expects = !isHead && random.chance(0.15);
  const parts = Array.from({ length: random.below(4) }, () =>
    random.chance(0.4) ? EVIL : "x".repeat(1 + random.below(3000)),
  );
  const data = isHead ? "" : parts.join("");
  const chunks = parts.map((part) => `${part.length.toString(16)};a=b\r\n${part}\r\n`).join("");
  const trailer = random.chance(0.5) ? "X-Trailer: t\r\n" : "";
  const framing = isHead
    ? ""
    : hasChunks
      ? "Transfer-Encoding: chunked\r\n"
      : `Content-Length: ${data.length}\r\n`;
  const expect = expects ? "Expect: 100-continue\r\n" : "";
  return {
    ...{ id, how, isHead, expects },
    head: `${isHead ? "HEAD" : "POST"} /${id} HTTP/1.1\r\nHost: x\r\nX-Id: ${id}\r\nX-How: ${how}\r\n${framing}${expect}\r\n`,
    body: hasChunks ? `${chunks}0\r\n${trailer}\r\n` : data,
    sum: how === "early" ? "early" : sha256(data),
  };
}

/** What was seen that must not be. */
const faults: string[] = [];

/** The generation that serves since the last move. */
let moved = 0;

class Client {
  readonly #socket: Socket;
  readonly #answers = new Answers();
  #isOver = false;

  constructor(
    path: string,
    private readonly random: Random,
    private readonly name: string,
  ) {
    this.#socket = connect({ path, allowHalfOpen: true });
    this.#socket.on("data", (bytes: Buffer) => this.#answers.push(bytes));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#isOver = true;
    });
    this.#socket.on("end", () => {
      this.#isOver = true;
    });
  }

  /** Resolves when all of its requests are answered, or it has ended as it wanted. */
  async run(): Promise<void> {
    const { random } = this;
    for (let n = 0; n < REQUESTS_MAX && !this.#isOver; ) {
      const count = random.chance(0.15) ? 2 + random.below(3) : 1;
      const requests = Array.from({ length: count }, () => newRequest(random, `${this.name}-${n++}`));
      if (random.chance(0.03)) return this.#breakOff(requests);
      const endsHere = random.chance(0.05);
      const from = moved;
      await this.#send(requests);
      if (endsHere) this.#socket.end();
      if (!(await this.#hear(requests, from)) || endsHere) break;
      await after(random.chance(0.3) ? random.below(60) : 0);
    }
    this.#socket.destroy();
  }

  /** It goes away in the middle of a request. */
  async #breakOff([request]: Request[]): Promise<void> {
    const text = (request?.head ?? "") + (request?.body ?? "");
    this.#socket.write(text.slice(0, this.random.below(text.length)));
    await after(this.random.below(5));
    this.#socket.destroy();
  }

  async #send(requests: Request[]): Promise<void> {
    for (const { head, body, expects } of requests) {
      const isAlone = requests.length === 1;
      await this.#pieces(expects && isAlone ? head : head + body);
      if (!expects || !isAlone) continue;
      await this.#until(() => this.#answers.interims > 0 || this.#answers.pending > 0);
      await this.#pieces(body);
    }
  }

  async #pieces(text: string): Promise<void> {
    const { random } = this;
    const isSlow = random.chance(0.2);
    for (let at = 0; at < text.length && !this.#isOver; ) {
      const size = random.chance(0.5) ? text.length : 1 + random.below(600);
      this.#socket.write(text.slice(at, at + size), "latin1");
      at += size;
      if (isSlow) await after(random.below(8));
    }
  }

  #until(condition: () => boolean): Promise<unknown> {
    return until(() => condition() || this.#isOver, { timeoutMs: 20_000, everyMs: 1, what: this.name });
  }

  /** False where the connection is over. `from`: the generation that served when they were sent. */
  async #hear(requests: Request[], from: number): Promise<boolean> {
    for (const [i, request] of requests.entries()) {
      this.#answers.isHead = request.isHead;
      await this.#until(() => this.#answers.pending > 0);
      const answer = this.#answers.take();
      if (!answer) {
        // Behind one that closes nothing is answered, and what is pipelined may be cut (RFC 9112, 9.3.2).
        if (i === 0) faults.push(`${request.id} (${request.how}): no answer`);
        return false;
      }
      const [generation = "", ...rest] = answer.body.split(" ");
      const wanted = [request.id, request.sum, filling(request.id)].join(" ");
      if (!request.isHead && rest.join(" ") !== wanted) faults.push(`${request.id}: another answer`);
      if (!request.isHead && requests.length === 1 && Number(generation) < from)
        faults.push(`${request.id}: sent after the move to ${from}, answered by ${generation}`);
      if (request.how === "close") return false;
    }
    return true;
  }
}

class Server implements AsyncDisposable {
  readonly executed: string[] = [];
  #served = 0;
  readonly #process;
  readonly #reading: Promise<void>;

  constructor(path: string) {
    this.#process = Bun.spawn(["node", `${ROOT}/fixtures/children/generations.mjs`, path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#reading = this.#read(this.#process.stdout);
  }

  async #read(stdout: ReadableStream<Uint8Array>): Promise<void> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of stdout) {
      const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const [word, what = ""] = line.split(" ");
        if (word === "serves") this.#served = Number(what);
        else this.executed.push(word === "executed" ? what : line);
      }
    }
  }

  #tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
    this.#process.stdin.flush();
  }

  async next(number: number): Promise<void> {
    this.#tell("next");
    await until(() => this.#served === number, { what: `generation ${number}` });
  }

  stop(number: number): void {
    this.#tell(`stop ${number}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
    await this.#reading;
  }
}

test.skipIf(Bun.which("node") === null)(
  "random clients, while their server is replaced again and again (needs node)",
  async () => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`SEED=${seed}`);
    const random = new Random(seed);
    using place = tempDir();
    using relay = new RelayLink(relayProgram());
    const [path, left] = [`${place.path}/served.sock`, `${place.path}/left.sock`];
    await using server = new Server(path);
    await server.next(1);
    const listener = socket("unix");
    bind(listener, encode({ family: "unix", path: left }));
    listen(listener, CONNECTIONS);
    const clients = Array.from(
      { length: CONNECTIONS },
      (_, i) => new Client(left, new Random(seed + i), `c${i}`),
    );
    const how = { path, isFresh: false, patienceMs: TIMEOUT_MS, isAnyPeer: false };
    relay.join(clients.map(() => ({ fd: accept(listener), left: how })));
    close(listener);

    const runs = Promise.all(clients.map((client) => client.run()));
    for (let number = 2; number <= MOVES + 1; number++) {
      await after(random.below(80));
      await server.next(number);
      await new Promise<void>((done) => relay.move(done));
      moved = number;
      server.stop(number - 1);
    }
    await runs;
    expect({ seed, faults }).toEqual({ seed, faults: [] });
    const twice = server.executed.filter((id, i) => server.executed.indexOf(id) !== i);
    expect({ seed, twice }).toEqual({ seed, twice: [] });
    expect(server.executed).not.toContain("evil");
    expect(server.executed.length).toBeGreaterThan(CONNECTIONS);
  },
  TIMEOUT_MS,
);
