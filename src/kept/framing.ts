/**
 * Where one HTTP/1 message ends and the next begins (RFC 9112), in both directions of one connection that is passed on unchanged. Pure.
 *
 * It is asked one thing: whether no message is under way, so that the next request may go to another server. What it does not
 * understand, or what two servers could read differently, makes it `opaque` for good: such a connection is passed on and never moved.
 */
import { CR, FramingError, LF } from "../http/bytes.ts";
import { ChunkedDecoder } from "../http/chunked.ts";
import { type Framing, ResponseHead } from "../http/head.ts";
import { type Request, readRequest } from "./request-head.ts";

/** More than any server takes. */
const HEAD_BYTES_MAX = 64 * 1024;
/** Requests that are passed on before the first of them is answered. */
const PIPELINED_MAX = 1000;

interface Body {
  framing: Framing;
  bytes: number;
}
const NO_BODY: Body = { framing: "none", bytes: 0 };
const NOTHING = new Uint8Array();

/** How far a read goes: to the last byte, or to the end of the first message that is whole. */
type Extent = "all" | "one message";

/** Where the head ends that begins at `from` or before; negative where it does not yet. */
function headEnd(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(CR, from); at >= 0; at = bytes.indexOf(CR, at + 1))
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at + 4;
  return -1;
}

/** The messages of one direction, cut out of bytes that come in any pieces. Throws FramingError. */
class Messages {
  /** What has come of it, while its end has not. */
  #head: Uint8Array = NOTHING;
  #state: Framing = "none";
  #left = 0;
  #chunks: ChunkedDecoder | undefined;

  constructor(
    private readonly onHead: (bytes: Uint8Array, from: number, to: number) => Body,
    private readonly onEnd: () => void,
  ) {}

  /** Not a byte of the next message has come. */
  get isBetween(): boolean {
    return this.#state === "none" && this.#head.length === 0;
  }

  /** Returns where it stopped. */
  push(bytes: Uint8Array, extent: Extent): number {
    for (let at = 0; at < bytes.length; ) {
      at = this.#take(bytes, at);
      if (extent === "one message" && this.isBetween) return at;
    }
    return bytes.length;
  }

  /** Returns where it stopped. */
  #take(bytes: Uint8Array, from: number): number {
    switch (this.#state) {
      case "none":
        return this.#takeHead(bytes, from);
      case "length": {
        const taken = Math.min(this.#left, bytes.length - from);
        this.#left -= taken;
        if (this.#left === 0) this.#end();
        return from + taken;
      }
      case "chunked": {
        const at = this.#chunks?.push(bytes, from, bytes.length) ?? bytes.length;
        if (this.#chunks?.done) this.#end();
        return at;
      }
      case "close":
        return bytes.length;
    }
  }

  #takeHead(bytes: Uint8Array, from: number): number {
    const known = this.#head.length;
    if (known === 0) {
      const to = headEnd(bytes, from);
      if (to < 0) return this.#keep(bytes.slice(from), bytes.length);
      this.#begin(this.onHead(bytes, from, to));
      return to;
    }
    const all = Buffer.concat([this.#head, bytes.subarray(from)]);
    const to = headEnd(all, Math.max(0, known - 3));
    if (to < 0) return this.#keep(all, bytes.length);
    this.#head = NOTHING;
    this.#begin(this.onHead(all, 0, to));
    return from + to - known;
  }

  #keep(head: Uint8Array, at: number): number {
    if (head.length > HEAD_BYTES_MAX) throw new FramingError("a head without an end");
    this.#head = head;
    return at;
  }

  #begin({ framing, bytes }: Body): void {
    this.#state = framing;
    this.#left = bytes;
    this.#chunks = framing === "chunked" ? new ChunkedDecoder() : undefined;
    if (framing === "none") this.onEnd();
  }

  #end(): void {
    this.#state = "none";
    this.#chunks = undefined;
    this.onEnd();
  }
}

/** One for all: what it has read is used at once. */
const RESPONSE = new ResponseHead();

/** One connection. `sent` and `answered` are told every byte that was passed on, in the order of their direction. */
export class Exchange {
  /** Those that are not answered yet. */
  readonly #unanswered: Request[] = [];
  #isOpaque = false;
  #isLast = false;
  #isInterim = false;
  readonly #requests = new Messages(
    (bytes, from, to) => this.#onRequest(bytes, from, to),
    () => {},
  );
  readonly #responses = new Messages(
    (bytes, from, to) => this.#onResponse(bytes, from, to),
    () => this.#onAnswer(),
  );

  /** Every request that has begun is whole, and every one is answered. */
  get isBetween(): boolean {
    return this.mayPause && this.#unanswered.length === 0 && this.#responses.isBetween;
  }

  /** No request is half sent: the next one may wait. */
  get mayPause(): boolean {
    return !this.isStuck && this.#requests.isBetween;
  }

  /** It stays with its server for good. */
  get isStuck(): boolean {
    return this.#isOpaque || this.#isLast;
  }

  /** It speaks no HTTP/1, or in a way that could be read differently. */
  get isOpaque(): boolean {
    return this.#isOpaque;
  }

  /** From the client. */
  sent(bytes: Uint8Array): void {
    this.#read(this.#requests, bytes);
  }

  /** From the client, up to the end of the request that is under way: returns how many of them that is. */
  sentToEnd(bytes: Uint8Array): number {
    return this.#read(this.#requests, bytes, "one message");
  }

  /** From the server. */
  answered(bytes: Uint8Array): void {
    this.#read(this.#responses, bytes);
  }

  #read(messages: Messages, bytes: Uint8Array, extent: Extent = "all"): number {
    if (this.#isOpaque) return bytes.length;
    try {
      return messages.push(bytes, this.isStuck ? "all" : extent);
    } catch (error) {
      if (!(error instanceof FramingError)) throw error;
      this.#isOpaque = true;
      return bytes.length;
    }
  }

  #onRequest(bytes: Uint8Array, from: number, to: number): Body {
    const request = readRequest(bytes, from, to);
    if (this.#unanswered.length === PIPELINED_MAX) throw new FramingError("too many unanswered requests");
    this.#unanswered.push(request);
    return request;
  }

  #onResponse(bytes: Uint8Array, from: number, to: number): Body {
    const [request] = this.#unanswered;
    if (!request) throw new FramingError("an answer that was not asked for");
    RESPONSE.parse(bytes, from, to, request);
    const { status, framing, contentLength, keepAlive } = RESPONSE;
    if (status === 101 || (request.isConnect && status < 300)) throw new FramingError("another protocol");
    this.#isInterim = status < 200;
    if (this.#isInterim) return NO_BODY;
    // What comes behind it is for no server.
    if (!keepAlive || request.isLast) this.#isLast = true;
    return { framing, bytes: contentLength };
  }

  #onAnswer(): void {
    if (!this.#isInterim) this.#unanswered.shift();
  }
}

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) [\\x21-\\x7e\\x80-\\xff]+ HTTP/1\\.([01])$`);

/** What the bytes that come next on a kept connection are: `more` where that cannot be said yet. */
export function beginning(bytes: Uint8Array): "request" | "other" | "more" {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD_BYTES_MAX)).toString(
    "latin1",
  );
  const end = text.indexOf("\r\n");
  if (end >= 0) return REQUEST_LINE.test(text.slice(0, end)) ? "request" : "other";
  return text.length < HEAD_BYTES_MAX && START.test(text) ? "more" : "other";
}

/** A request line of which the end has not come yet. */
const START = new RegExp(`^(${TOKEN}( [\\x21-\\x7e\\x80-\\xff]*( [HTP/1.0]*\\r?)?)?)?$`);
