/**
 * One connection and the request on it: bytes out, bytes in, and which way it ended. It never connects or sends a second time:
 * each `send` ends in exactly one call of the owner's `answered` or `failed`.
 *
 * The object outlives its socket and is used again, so every event of a socket that is no longer ours is dropped.
 */
import type { Socket, SocketHandler } from "bun";
import { ResponseReader } from "../http/response.ts";
import type { Danger } from "./dangers.ts";
import { MANNERS, type Manner } from "./manners.ts";
import { connectFailure, cutFailure, type Failure } from "./outcome.ts";
import type { Kind } from "./plan.ts";
import type { Address } from "./target.ts";
import { WebSocketTalk } from "./websocket.ts";

/** How often a slow sender sends, and a WebSocket says something. */
const PIECE_EVERY_MS = 5;
const TEXT_EVERY_MS = 100;

export interface ConnectionOwner {
  /** The request's bytes, valid until it is asked for the next. */
  encode(exchange: Exchange): Uint8Array;
  /** From where on those bytes will not change under us. */
  stableFrom(exchange: Exchange): number;
  /** A complete response is in `connection.reader`; not yet judged. */
  answered(connection: Connection): void;
  failed(connection: Connection, failure: Failure): void;
  /** An idle connection ended, or got bytes that were not requested (`unasked`) and was closed. No request is involved. */
  idleEnded(connection: Connection, by: "bytes" | "close"): void;
  /** A client that was silent begins to speak: its wait counts from now. */
  speaks(exchange: Exchange): void;
  /** The kernel's errno behind a connect that the runtime calls ECONNREFUSED. */
  refusalErrno(): string;
}

/**
 * `silent`: connected, and nothing is to be said yet. `abandoned`: timed out in connect, whose socket we cannot reach yet; the
 * object is of no further use.
 */
type State = "closed" | "connecting" | "silent" | "idle" | "busy" | "abandoned";

/** What is sent, and when it was meant to be. Filled by the owner before `send`. */
export class Exchange {
  n = 0;
  kind: Kind = "fresh";
  keepBodyBytes = 0;
  /** How long it takes its time on purpose; the time limit comes on top. */
  lingerMs = 0;
  intendedMs = 0;
  startedMs = 0;
  /** Whether the connection had carried an answer before. */
  reused = false;
  /** What it was in at the instants that were marked. */
  readonly dangers = new Set<string>();
  /** Beyond the plan's connections; its connection is closed behind it. */
  extra = false;
  segment = 0;
}

export class Connection {
  state: State = "closed";
  readonly reader = new ResponseReader();
  readonly exchange = new Exchange();
  /** Undefined for a Unix socket, and before it is connected. */
  localPort: number | undefined;
  #socket: Socket<Connection> | undefined;
  #unsent: Uint8Array | undefined;
  /** Of a kind that takes its time. */
  #timer: Timer | undefined;
  #talk: WebSocketTalk | undefined;

  constructor(
    private readonly address: Address,
    private readonly owner: ConnectionOwner,
  ) {}

  /** Sends `exchange`: on the open connection where it is idle, on a new one where it is closed. */
  send(): void {
    this.reader.reset(this.exchange);
    if (this.state === "idle") {
      this.exchange.reused = true;
      this.#write();
      return;
    }
    this.exchange.reused = false;
    this.state = "connecting";
    // The rejection was reported to connectError; Bun marks it as handled then, but a lost one must not end the run.
    this.#connect().catch(() => {});
  }

  get #manner(): Manner {
    return MANNERS[this.exchange.kind];
  }

  /** Connected long enough without a word: sends its request now. */
  speak(): void {
    if (this.state !== "silent") return;
    clearTimeout(this.#timer);
    this.owner.speaks(this.exchange);
    this.#write();
  }

  /** It has no `reader`: it has judged itself. */
  get isWebSocket(): boolean {
    return this.#talk !== undefined;
  }

  get receivedBytes(): number {
    return this.#talk?.receivedBytes ?? this.reader.receivedBytes;
  }

  /** What could go wrong for it if its server were exchanged at this instant. */
  dangers(): Danger[] {
    if (this.state === "silent") return ["silent"];
    if (this.state !== "busy") return this.state === "idle" ? ["idle"] : [];
    const isWaiting = !this.exchange.reused && this.receivedBytes === 0;
    return [
      ...(this.exchange.reused ? (["kept"] as const) : []),
      ...(isWaiting ? (["waiting"] as const) : []),
      ...(this.#manner.posts && this.#unsent !== undefined ? (["half-sent"] as const) : []),
    ];
  }

  /** After `answered`: keeps the connection for the next request. False where it cannot carry one; it is closed then. */
  keep(): boolean {
    const reusable = this.#socket !== undefined && this.reader.head.keepAlive && this.#unsent === undefined;
    if (reusable) this.state = "idle";
    else this.close();
    return reusable;
  }

  /** Closes in good order, whatever it is at. Reports nothing. */
  close(): void {
    const socket = this.#socket;
    this.#socket = this.#unsent = this.#talk = undefined;
    // One kind of timer at a time, and both kinds are ended alike.
    clearTimeout(this.#timer);
    if (this.state === "connecting") this.state = "abandoned";
    else if (this.state !== "abandoned") this.state = "closed";
    socket?.end();
  }

  /** The time limit is over. */
  timeOut(): void {
    const failure: Failure =
      this.state === "connecting"
        ? { class: "connect-timeout", phase: "connect" }
        : { class: "timeout", phase: this.reader.cut };
    this.#fail(failure);
  }

  #connect(): Promise<unknown> {
    const { address } = this;
    return address.kind === "unix"
      ? Bun.connect<Connection>({ unix: address.path, socket: HANDLERS, data: this })
      : Bun.connect<Connection>({
          hostname: address.hostname,
          port: address.port,
          socket: HANDLERS,
          data: this,
        });
  }

  #write(): void {
    this.state = "busy";
    const bytes = this.owner.encode(this.exchange);
    if (this.#manner.sendsSlowly) this.#writeSlowly(bytes.slice());
    else {
      const sent = this.#socket?.write(bytes) ?? -1;
      // -1: the peer has closed. Its close event is on the way and knows whether by FIN or by reset.
      const from = Math.max(0, sent);
      if (sent < bytes.length)
        this.#unsent =
          from >= this.owner.stableFrom(this.exchange) ? bytes.subarray(from) : bytes.slice(from);
      else this.#sentAll();
    }
    if (this.#manner.readsSlowly) this.#readLater();
    if (this.#manner.streams === "websocket") this.#converse();
  }

  #writeSlowly(bytes: Uint8Array): void {
    const pieces = Math.max(1, Math.floor(this.exchange.lingerMs / PIECE_EVERY_MS));
    const pieceBytes = Math.ceil(bytes.length / pieces);
    this.#unsent = bytes;
    this.#timer = setInterval(() => {
      const unsent = this.#unsent ?? bytes.subarray(bytes.length);
      const sent = Math.max(0, this.#socket?.write(unsent.subarray(0, pieceBytes)) ?? 0);
      this.#unsent = sent < unsent.length ? unsent.subarray(sent) : undefined;
      if (this.#unsent === undefined) clearTimeout(this.#timer);
    }, PIECE_EVERY_MS);
  }

  /** The kernel's buffers fill up meanwhile, then the server's own. */
  #readLater(): void {
    const socket = this.#socket;
    socket?.pause();
    this.#timer = setTimeout(() => socket?.resume(), this.exchange.lingerMs);
  }

  #converse(): void {
    const talk = new WebSocketTalk();
    this.#talk = talk;
    const until = performance.now() + this.exchange.lingerMs;
    this.#timer = setInterval(() => {
      if (talk.state !== "open") return;
      const isOver = performance.now() >= until;
      this.#socket?.write(isOver ? talk.goodbye() : talk.message());
      if (isOver) clearTimeout(this.#timer);
    }, TEXT_EVERY_MS);
  }

  #sentAll(): void {
    if (this.#manner.halfCloses) this.#socket?.shutdown();
  }

  #fail(failure: Failure): void {
    this.close();
    this.owner.failed(this, failure);
  }

  // What follows is called by HANDLERS only.

  opened(socket: Socket<Connection>): void {
    if (this.state !== "connecting") {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    if (this.address.kind === "tcp") this.localPort = socket.localPort;
    if (!this.#manner.silent) {
      this.#write();
      return;
    }
    this.state = "silent";
    this.#timer = setTimeout(() => this.speak(), this.exchange.lingerMs);
  }

  refused(errno: string): void {
    if (this.state !== "connecting") return;
    this.state = "closed";
    const real = errno === "ECONNREFUSED" ? this.owner.refusalErrno() : errno;
    this.owner.failed(this, connectFailure(real));
  }

  received(socket: Socket<Connection>, chunk: Uint8Array): void {
    if (socket !== this.#socket) return;
    if (this.state === "idle") {
      this.#endIdle("bytes");
      return;
    }
    if (this.state === "silent") {
      this.#fail({
        class: "closed-before-request",
        phase: "silent",
        detail: "an answer came before any request",
      });
      return;
    }
    if (this.#talk) {
      this.#receivedFrames(this.#talk, chunk);
      return;
    }
    const state = this.reader.push(chunk);
    if (state === "done") this.owner.answered(this);
    else if (state === "bad")
      this.#fail({ class: "malformed", phase: "answer", detail: this.reader.problem });
  }

  #receivedFrames(talk: WebSocketTalk, chunk: Uint8Array): void {
    const state = talk.push(chunk, (frame) => this.#socket?.write(frame));
    if (typeof state === "object") this.#fail(state);
    else if (state === "closed") this.owner.answered(this);
  }

  writable(socket: Socket<Connection>): void {
    if (socket !== this.#socket || this.#unsent === undefined || this.#manner.sendsSlowly) return;
    const sent = Math.max(0, socket.write(this.#unsent));
    this.#unsent = sent >= this.#unsent.length ? undefined : this.#unsent.subarray(sent);
    if (this.#unsent === undefined) this.#sentAll();
  }

  ended(socket: Socket<Connection>, error: Error | undefined): void {
    if (socket !== this.#socket) return;
    if (this.state === "idle") {
      this.#endIdle("close");
      return;
    }
    const cut = error || this.#talk ? undefined : this.reader.end();
    if (cut !== "done") {
      this.#fail(this.#cutBy(error && errnoOf(error)));
      return;
    }
    this.#socket = undefined;
    this.owner.answered(this);
  }

  /** What an end of the connection means now. */
  #cutBy(errno: string | undefined): Failure {
    if (this.state === "silent") return { class: "closed-before-request", phase: "silent", errno };
    const isOpen = this.#talk ? this.#talk.state === "open" : this.reader.cut === "body";
    if (this.#manner.streams && isOpen) return { class: "stream-cut", phase: "body", errno };
    return cutFailure(this.#talk ? "before-byte" : this.reader.cut, errno);
  }

  #endIdle(by: "bytes" | "close"): void {
    this.close();
    this.owner.idleEnded(this, by);
  }
}

/** One for all: the events find their connection in the socket's data. */
const HANDLERS: SocketHandler<Connection> = {
  open: (socket) => socket.data.opened(socket),
  data: (socket, chunk) => socket.data.received(socket, chunk),
  drain: (socket) => socket.data.writable(socket),
  close: (socket, error) => socket.data.ended(socket, error),
  connectError: (socket, error) => socket.data.refused(errnoOf(error)),
};

const errnoOf = (error: Error): string => String((error as NodeJS.ErrnoException).code ?? error.name);
