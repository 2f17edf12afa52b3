/**
 * One client of the control socket: one request, one answer, then closed. It owns its socket, its deadline and the bytes that are not
 * written yet. A client that is slow to send or to read is dropped; it never makes another client wait.
 */
import type { Socket } from "bun";
import type { Clock } from "../os/clock.ts";
import { json } from "../text.ts";
import { type Refusal, type Request, RequestReader } from "./request.ts";

/** From the connect to the last byte of the request, and from the answer's last byte to the client's close. */
const PATIENCE_MS = 5000;
/** Of a stream that its client does not read. */
const MAX_PENDING_BYTES = 256 * 1024;

const REASONS: Record<number, string> = {
  200: "OK",
  202: "Accepted",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

export class Connection {
  readonly #reader = new RequestReader();
  #pending = Buffer.alloc(0);
  #deadline: Disposable | undefined;
  /** `asking`: the request is not complete; `asked`: its answer is awaited or being sent; `answered`: all is sent. */
  state: "asking" | "asked" | "answered" = "asking";
  #onClose: (() => void) | undefined;

  constructor(
    private readonly socket: Socket<Connection>,
    private readonly clock: Clock,
    private readonly onRequest: (request: Request, connection: Connection) => void,
  ) {
    this.#giveUpLater();
  }

  receive(bytes: Uint8Array): void {
    if (this.state !== "asking") return;
    const request = this.#reader.push(bytes);
    if (request === undefined) return;
    this.state = "asked";
    this.#deadline?.[Symbol.dispose]();
    if ("status" in request) this.refuse(request);
    else this.onRequest(request, this);
  }

  /** Calls back when the client goes, or when its answer is complete. */
  onClose(then: () => void): void {
    this.#onClose = then;
  }

  refuse({ status, reason }: Refusal): void {
    this.answerJson(status, { error: reason });
  }

  answerJson(status: number, body: object): void {
    this.answer(status, "application/json", `${json(body)}\n`);
  }

  /** The whole answer, then the end. */
  answer(status: number, type: string, body: string): void {
    if (this.state === "answered") return;
    const length = Buffer.byteLength(body);
    this.#write(`${head(status, type)}Content-Length: ${length}\r\n\r\n${body}`);
    this.end();
  }

  /** Begins an answer without an end of its own; `push` goes on with it. */
  beginStream(type: string): void {
    this.#write(`${head(200, type)}Cache-Control: no-store\r\n\r\n`);
  }

  push(text: string): void {
    if (this.state === "asked") this.#write(text);
    if (this.#pending.length > MAX_PENDING_BYTES) this.socket.terminate();
  }

  end(): void {
    if (this.state === "answered") return;
    this.state = "answered";
    this.#onClose?.();
    this.#onClose = undefined;
    this.#giveUpLater();
    this.flush();
  }

  get isFlushed(): boolean {
    return this.#pending.length === 0;
  }

  /** Writes as much as the kernel takes; to be called again when it takes more. */
  flush(): void {
    while (this.#pending.length > 0) {
      const written = this.socket.write(this.#pending);
      if (written <= 0) return;
      this.#pending = this.#pending.subarray(written);
    }
    if (this.state === "answered") this.socket.end();
  }

  /** The socket is gone. */
  closed(): void {
    this.state = "answered";
    this.#deadline?.[Symbol.dispose]();
    this.#onClose?.();
    this.#onClose = undefined;
  }

  terminate(): void {
    this.socket.terminate();
  }

  #write(text: string): void {
    this.#pending = Buffer.concat([this.#pending, Buffer.from(text)]);
    this.flush();
  }

  #giveUpLater(): void {
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = this.clock.after(PATIENCE_MS, () => this.socket.terminate());
  }
}

const head = (status: number, type: string) =>
  `HTTP/1.1 ${status} ${REASONS[status] ?? "?"}\r\nContent-Type: ${type}\r\nConnection: close\r\n`;
