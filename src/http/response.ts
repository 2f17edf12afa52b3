/**
 * A strict, incremental reader of HTTP/1.1 responses: bytes go in as they come, "done" comes out exactly where the
 * response ends. Pure: no sockets, no clock; the load generator and the readiness checks share it.
 *
 * One reader reads one response at a time and is used again after `reset`. The usual case, a small response in one
 * piece, copies nothing. Fields stay readable until the next `push` or `reset`.
 */
import { CR, FramingError, LF } from "./bytes.ts";
import { ChunkedDecoder, type Sink } from "./chunked.ts";
import { assertStatusLineBegins, ResponseHead } from "./head.ts";

/**
 * `idle` no byte yet, `head` in the status line or the fields (1xx answers included), `body` in the body,
 * `done` complete, `bad` see `problem`.
 */
export type ReaderState = "idle" | "head" | "body" | "done" | "bad";

/** Where a connection's end cut the response short. */
export type Cut = "before-byte" | "head" | "body";

const MAX_HEAD_BYTES = 64 * 1024;
const EMPTY = new Uint8Array();

export class ResponseReader {
  readonly head = new ResponseHead();
  state: ReaderState = "idle";
  /** What broke the rules; set with state "bad". */
  problem: string | undefined;
  /** Bytes of this response so far, surplus left out. */
  receivedBytes = 0;
  /** Bytes of the (decoded) body so far. */
  bodyBytes = 0;
  /** Bytes behind the end of the response, which were not requested. */
  surplusBytes = 0;

  /** That is answered. */
  readonly #request = { isHead: false };
  #keptBytesMax = 0;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  /** A head that came in pieces, as far as it came. */
  #partial = EMPTY;
  #left = 0;
  readonly #chunked = new ChunkedDecoder();

  get status(): number {
    return this.head.status;
  }

  /** Gets ready for the answer to the next request. The first `keepBodyBytes` of the body are kept for `bodyText`. */
  reset(request: { head?: boolean; keepBodyBytes?: number } = {}): void {
    this.state = "idle";
    this.problem = undefined;
    this.receivedBytes = this.bodyBytes = this.surplusBytes = 0;
    this.#request.isHead = request.head === true;
    this.#keptBytesMax = request.keepBodyBytes ?? 0;
    if (this.#keptBytes > 0) this.#kept = [];
    this.#keptBytes = 0;
    this.#partial = EMPTY;
  }

  /** Reads the next bytes of the connection. They may be reused by the caller only once the response is done. */
  push(bytes: Uint8Array): ReaderState {
    if (bytes.length === 0 || this.state === "bad") return this.state;
    if (this.state === "done") {
      this.surplusBytes += bytes.length;
      return "done";
    }
    try {
      const at = this.state === "body" ? 0 : this.#readHead(bytes);
      const end = this.state === "body" ? this.#readBody(bytes, at) : at;
      this.receivedBytes += end;
      this.surplusBytes += bytes.length - end;
    } catch (cause) {
      if (!(cause instanceof FramingError)) throw cause;
      this.receivedBytes += bytes.length;
      this.problem = cause.message;
      this.state = "bad";
    }
    return this.state;
  }

  /** The peer closed in good order. Says "done" (also for a body that the close delimits), or what was cut. */
  end(): "done" | Cut {
    if (this.state === "body" && this.head.framing === "close") this.state = "done";
    return this.state === "done" ? "done" : this.cut;
  }

  /** What an end of the connection right now would cut off; a reset cuts also what only a close could complete. */
  get cut(): Cut {
    if (this.state === "idle") return "before-byte";
    return this.state === "head" ? "head" : "body";
  }

  /** The kept part of the body as UTF-8. */
  bodyText(): string {
    return Buffer.concat(this.#kept).toString();
  }

  /** Returns where the head ended; leaves "body" or "done" as the state, or "head" where more must come. */
  #readHead(chunk: Uint8Array): number {
    this.state = "head";
    const before = this.#partial.length;
    const bytes = before === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    let from = 0;
    let searchFrom = before;
    for (;;) {
      const end = endOfHead(bytes, searchFrom);
      if ((end < 0 ? bytes.length : end) - from > MAX_HEAD_BYTES)
        throw new FramingError(`a head of more than ${MAX_HEAD_BYTES} bytes`);
      if (end < 0) {
        assertStatusLineBegins(bytes, from);
        this.#partial = bytes.slice(from);
        return chunk.length;
      }
      this.head.parse(bytes, from, end, this.#request);
      from = searchFrom = end;
      if (this.head.status >= 200) break;
      // 1xx: the real answer is still to come (RFC 9110, 15.2). 101 would be another protocol, which was not offered.
      if (this.head.status === 101) throw new FramingError("status 101 without an Upgrade");
    }
    this.#partial = EMPTY;
    this.#beginBody();
    return from - before;
  }

  #beginBody(): void {
    const { framing, contentLength } = this.head;
    this.#left = contentLength;
    if (framing === "chunked") this.#chunked.reset();
    this.state = framing === "none" ? "done" : "body";
  }

  #readBody(chunk: Uint8Array, from: number): number {
    switch (this.head.framing) {
      case "length": {
        const end = Math.min(chunk.length, from + this.#left);
        this.#left -= end - from;
        this.#take(chunk, from, end);
        if (this.#left === 0) this.state = "done";
        return end;
      }
      case "chunked": {
        const end = this.#chunked.push(chunk, from, chunk.length, this.#take);
        if (this.#chunked.done) this.state = "done";
        return end;
      }
      default:
        this.#take(chunk, from, chunk.length);
        return chunk.length;
    }
  }

  readonly #take: Sink = (bytes, from, to) => {
    this.bodyBytes += to - from;
    const room = Math.min(to - from, this.#keptBytesMax - this.#keptBytes);
    if (room <= 0) return;
    this.#kept.push(bytes.slice(from, from + room));
    this.#keptBytes += room;
  };
}

/** The index behind the empty line, or -1. Throws FramingError at a line feed without its carriage return. */
function endOfHead(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] !== CR) throw new FramingError("a bare line feed in the head");
    if (at >= 3 && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
  }
  return -1;
}
