/**
 * The tests' own HTTP client: raw sockets, no library between a dropped request and the count, and no request is ever
 * sent again. Independent of src/load on purpose: the two check each other.
 */
import { setTimeout as after } from "node:timers/promises";
import type { Answer } from "./answer.ts";
import { Connection } from "./connection.ts";
import { Failure } from "./failure.ts";
import { type LoadReport, Tally } from "./tally.ts";

export interface ClientOptions {
  /** `unix:/path`, `host:port` or `[v6]:port`. */
  target: string;
  /** `fresh`: a connection for each request (default). `post`: the same, with an upload that is checked by its sum. */
  mode?: "fresh" | "keep-alive" | "post";
  /** Closed loops; default 4. Keep it below the backlog: Bun reports a full one as ECONNREFUSED. */
  concurrency?: number;
  /** Requests a second on a fixed schedule instead of closed loops, as long as few enough are under way; not with keep-alive. */
  rate?: number;
  /** Of `fresh` and `keep-alive`; default `/`. */
  path?: string;
  /** Of `post`; default 64 KiB. */
  bodyBytes?: number;
  /** For connect and exchange each; default half a minute: a successor boots that long on a machine that does much else. */
  timeoutMs?: number;
  /** Count nothing before the first good answer. */
  afterFirstOk?: boolean;
  /** Any other X-Version is a failure. */
  versions?: string[];
}

/** A server that is gone answers at once: without a pause the loops would only heat the machine. */
const PAUSE_AFTER_FAILURE_MS = 1;
const SERVER_CLOSE_GRACE_MS = 250;
const SCHEDULE_TICK_MS = 2;
/**
 * On a schedule no more than this wait at a time. On a machine that is slower than the schedule they would be more than the shortest
 * backlog of a server (asyncio has 100), and refused by the kernel, which is no fault of what is tested.
 */
const UNDER_WAY_MAX = 80;

export class Client {
  #tally: Tally;
  #stopping = false;
  #running: Promise<unknown> = Promise.resolve();
  #requests = 0;
  #underWay = 0;
  #body: Buffer;
  #bodySum: string;

  constructor(private options: ClientOptions) {
    this.#tally = new Tally(!options.afterFirstOk);
    this.#body = Buffer.alloc(options.bodyBytes ?? 65536, "hupwatch ");
    this.#bodySum = new Bun.CryptoHasher("sha256").update(this.#body).digest("hex");
  }

  /** Live. */
  get report(): LoadReport {
    return this.#tally.report;
  }

  /** Begun and not yet over. */
  get underWay(): number {
    return this.#underWay;
  }

  start(): void {
    const { rate, concurrency = 4, mode } = this.options;
    if (rate && mode === "keep-alive") throw new Error("a rate goes with fresh connections only");
    this.#running = rate
      ? this.#onSchedule(rate)
      : Promise.all(Array.from({ length: concurrency }, () => this.#loop()));
  }

  /** Begins nothing more, and waits for what was begun. */
  async stop(): Promise<LoadReport> {
    this.#stopping = true;
    await this.#running;
    return this.#tally.report;
  }

  async #loop(): Promise<void> {
    let kept: Connection | undefined;
    while (!this.#stopping) kept = await this.#request(kept);
    await kept?.close(0);
  }

  async #onSchedule(rate: number): Promise<void> {
    const begun = new Set<Promise<unknown>>();
    const startMs = performance.now();
    let count = 0;
    while (!this.#stopping) {
      for (; count < ((performance.now() - startMs) / 1000) * rate; count++) {
        if (begun.size >= UNDER_WAY_MAX) continue;
        const request = this.#request(undefined).finally(() => begun.delete(request));
        begun.add(request);
      }
      await after(SCHEDULE_TICK_MS);
    }
    await Promise.all(begun);
  }

  /** One request, once. Returns the connection where it may carry another. */
  async #request(kept: Connection | undefined): Promise<Connection | undefined> {
    const { target, mode = "fresh", timeoutMs = 30_000 } = this.options;
    if (kept?.over) {
      this.#tally.report.idleCloses++;
      kept = undefined;
    }
    const id = `${process.pid}-${++this.#requests}`;
    const startMs = performance.now();
    this.#underWay++;
    try {
      const connection = kept ?? (await Connection.open(target, timeoutMs));
      const answer = await connection.exchange(this.#bytes(id), timeoutMs);
      const version = this.#check(answer, id, connection.exchanges > 1);
      this.#tally.succeed(version, connection.openedMs, startMs);
      if (mode === "keep-alive" && answer.headers.get("connection")?.toLowerCase() !== "close")
        return connection;
      await connection.close(SERVER_CLOSE_GRACE_MS);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#tally.fail(error);
      await after(PAUSE_AFTER_FAILURE_MS);
    } finally {
      this.#underWay--;
    }
    return undefined;
  }

  #bytes(id: string): Buffer {
    const { mode = "fresh", path = "/" } = this.options;
    const post = mode === "post";
    const lines = [
      post ? "POST /upload HTTP/1.1" : `GET ${path} HTTP/1.1`,
      "Host: test",
      `X-Request-Id: ${id}`,
      `Connection: ${mode === "keep-alive" ? "keep-alive" : "close"}`,
      ...(post ? [`Content-Length: ${this.#body.length}`] : []),
    ];
    const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
    return post ? Buffer.concat([head, this.#body]) : head;
  }

  /** Returns the version, or throws what is wrong with a whole answer. */
  #check(answer: Answer, id: string, reused: boolean): string {
    if (answer.status < 200 || answer.status > 299) throw new Failure("status", `${answer.status}`, reused);
    const version = answer.headers.get("x-version");
    if (!version) throw new Failure("version", "MISSING", reused);
    if (this.options.versions && !this.options.versions.includes(version))
      throw new Failure("version", `UNEXPECTED ${version}`, reused);
    if (answer.headers.get("x-request-id") !== id) throw new Failure("echo", "ID", reused);
    if (this.options.mode === "post" && !uploadMatches(answer.body, this.#body.length, this.#bodySum))
      throw new Failure("echo", "SUM", reused);
    return version;
  }
}

function uploadMatches(body: string, bytes: number, sha256: string): boolean {
  try {
    const said = JSON.parse(body) as { bytes?: number; sha256?: string };
    return said.bytes === bytes && said.sha256 === sha256;
  } catch {
    return false;
  }
}
