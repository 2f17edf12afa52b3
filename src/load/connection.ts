/**
 * One connection and the request on it: bytes out, bytes in, and which way it ended. It never connects or sends a second time:
 * each `send` ends in exactly one call of the owner's `answered` or `failed`.
 *
 * The object outlives its socket and is used again, so every event of a socket that is no longer ours is dropped.
 */
import type { Socket, SocketHandler } from "bun";
import { ResponseReader } from "../http/response.ts";
import { connectFailure, cutFailure, type Failure } from "./outcome.ts";
import type { Kind } from "./plan.ts";
import type { Address } from "./target.ts";

export interface ConnectionOwner {
  /** The request's bytes, valid until it is asked for the next. */
  encode(exchange: Exchange): Uint8Array;
  /** From where on those bytes will not change under us. */
  stableFrom(exchange: Exchange): number;
  /** A complete response is in `connection.reader`; not yet judged. */
  answered(connection: Connection): void;
  failed(connection: Connection, failure: Failure): void;
  /** An idle connection ended, or got bytes that nobody asked for (`unasked`) and was closed. No request is involved. */
  idleEnded(connection: Connection, unasked: boolean): void;
  /** The kernel's errno behind a connect that the runtime calls ECONNREFUSED. */
  refusalErrno(): string;
}

/** `abandoned`: timed out in connect, whose socket we cannot reach yet; the object is of no further use. */
type State = "closed" | "connecting" | "idle" | "busy" | "abandoned";

/** What is sent, and when it was meant to be. Filled by the owner before `send`. */
export class Exchange {
  n = 0;
  kind: Kind = "fresh";
  keepBodyBytes = 0;
  intendedMs = 0;
  startedMs = 0;
  /** Whether the connection had carried an answer before. */
  reused = false;
  /** Beyond the plan's connections; its connection is closed behind it. */
  extra = false;
  segment = 0;
}

export class Connection {
  state: State = "closed";
  readonly reader = new ResponseReader();
  readonly exchange = new Exchange();
  #socket: Socket<Connection> | undefined;
  #unsent: Uint8Array | undefined;

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
    this.#socket = this.#unsent = undefined;
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
    const sent = this.#socket?.write(bytes) ?? -1;
    if (sent >= bytes.length) return;
    // -1: the peer has closed. Its close event is on the way and knows whether by FIN or by reset.
    const from = Math.max(0, sent);
    this.#unsent = from >= this.owner.stableFrom(this.exchange) ? bytes.subarray(from) : bytes.slice(from);
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
    this.#write();
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
      this.#endIdle(true);
      return;
    }
    const state = this.reader.push(chunk);
    if (state === "done") this.owner.answered(this);
    else if (state === "bad")
      this.#fail({ class: "malformed", phase: "answer", detail: this.reader.problem });
  }

  writable(socket: Socket<Connection>): void {
    if (socket !== this.#socket || this.#unsent === undefined) return;
    const sent = Math.max(0, socket.write(this.#unsent));
    this.#unsent = sent >= this.#unsent.length ? undefined : this.#unsent.subarray(sent);
  }

  ended(socket: Socket<Connection>, error: Error | undefined): void {
    if (socket !== this.#socket) return;
    if (this.state === "idle") {
      this.#endIdle(false);
      return;
    }
    if (error) {
      this.#fail(cutFailure(this.reader.cut, errnoOf(error)));
      return;
    }
    const cut = this.reader.end();
    if (cut !== "done") {
      this.#fail(cutFailure(cut, undefined));
      return;
    }
    this.#socket = undefined;
    this.owner.answered(this);
  }

  #endIdle(unasked: boolean): void {
    this.close();
    this.owner.idleEnded(this, unasked);
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
