/**
 * A client of random manners: requests in any pieces, pipelined, slow, with chunks and trailers, 100-continue, answers that come before the
 * body has, half closes, ends in the middle. Each answer must be the right one, byte for byte (fixtures/children/answering.mjs).
 */
import { connect, type Socket } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { until } from "../harness/until.ts";
import type { Random } from "../swap/random.ts";
import { Answers } from "./answers.ts";

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

function newRequest(random: Random, id: string, restlessness: number): Request {
  const isHead = random.chance(0.1);
  const picked = random.pick(HOWS);
  const how = picked === "close" && !random.chance(restlessness) ? "plain" : picked;
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

/** What the clients of a run know of it, and what they say. */
export interface Course {
  /** What was seen that must not be. */
  faults: string[];
  /** Requests without an answer. */
  lost: string[];
  /** How often connections end, from 0 to 1. */
  restlessness: number;
  /** The generation that serves at least: what is sent from now on is not answered by an earlier one. */
  served: number;
}

export class RandomClient {
  readonly #socket: Socket;
  readonly #answers = new Answers();
  #isOver = false;

  constructor(
    to: { path: string } | { port: number; host: string },
    private readonly random: Random,
    private readonly name: string,
    private readonly course: Course,
  ) {
    this.#socket = connect({ ...to, allowHalfOpen: true });
    this.#socket.on("data", (bytes: Buffer) => this.#answers.push(bytes));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#isOver = true;
    });
    this.#socket.on("end", () => {
      this.#isOver = true;
    });
  }

  /** Resolves when `isEnough` is said of the number of requests that it has sent, or it has ended as it wanted. */
  async run(isEnough: (requests: number) => boolean): Promise<void> {
    const { random } = this;
    const { restlessness } = this.course;
    for (let n = 0; !isEnough(n) && !this.#isOver; ) {
      const count = random.chance(0.15) ? 2 + random.below(3) : 1;
      const requests = Array.from({ length: count }, () =>
        newRequest(random, `${this.name}-${n++}`, restlessness),
      );
      if (random.chance(0.03 * restlessness)) return this.#breakOff(requests);
      const endsHere = random.chance(0.05 * restlessness);
      const from = this.course.served;
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
        if (i === 0) this.course.lost.push(`${request.id} (${request.how})`);
        return false;
      }
      const [generation = "", ...rest] = answer.body.split(" ");
      const wanted = [request.id, request.sum, filling(request.id)].join(" ");
      if (!request.isHead && rest.join(" ") !== wanted)
        this.course.faults.push(`${request.id}: another answer`);
      if (!request.isHead && requests.length === 1 && Number(generation) < from)
        this.course.faults.push(`${request.id}: sent after the move to ${from}, answered by ${generation}`);
      if (request.how === "close") return false;
    }
    return true;
  }
}
