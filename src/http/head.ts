/**
 * The head of a response: status line, fields, and the framing that follows from them (RFC 9112, 4 to 6).
 * Strict on purpose: what two recipients could read differently is an error here, because a reader that guesses
 * would report a broken answer as a good one. Allocation-free but for texts that the caller wants: fields are
 * offsets into the bytes that were read. Owns nothing, does no I/O.
 */
import {
  COLON,
  CR,
  equalsIgnoringCase,
  FIELD_BYTE,
  FramingError,
  HTAB,
  LF,
  latin1,
  SP,
  TCHAR,
} from "./bytes.ts";

/** How the end of the body is known. */
export type Framing = "none" | "length" | "chunked" | "close";

const MAX_FIELDS = 128;
/** Per field: start and end of the name, start and end of the value. */
const STRIDE = 4;
const PREFIX = "HTTP/1.";

export class ResponseHead {
  status = 0;
  /** 0 or 1: the x of HTTP/1.x. */
  minor = 1;
  framing: Framing = "none";
  /** Bytes of body to come; only with framing "length". */
  contentLength = 0;
  /** Whether the connection may carry another request (RFC 9112, 9.3). */
  keepAlive = false;

  #bytes: Uint8Array = new Uint8Array();
  #fields = 0;
  readonly #offsets = new Int32Array(MAX_FIELDS * STRIDE);

  /**
   * Reads `bytes[from, to)`, which ends with the empty line. The bytes are referred to, not copied: `header` works
   * as long as they do not change. `head` says that the request was a HEAD. Throws FramingError.
   */
  parse(bytes: Uint8Array, from: number, to: number, head: boolean): void {
    this.#bytes = bytes;
    this.#fields = 0;
    let at = this.#statusLine(bytes, from);
    let length = -1;
    let chunked = false;
    let close = false;
    let keep = false;
    // The last two bytes are the empty line's.
    while (at < to - 2) {
      const next = this.#fieldLine(bytes, at, to);
      const o = (this.#fields - 1) * STRIDE;
      const [nameFrom, nameTo] = [this.#offsets[o] as number, this.#offsets[o + 1] as number];
      const [from_, to_] = [this.#offsets[o + 2] as number, this.#offsets[o + 3] as number];
      switch (nameTo - nameFrom) {
        case 10:
          if (equalsIgnoringCase(bytes, nameFrom, nameTo, "connection")) {
            if (hasToken(bytes, from_, to_, "close")) close = true;
            if (hasToken(bytes, from_, to_, "keep-alive")) keep = true;
          }
          break;
        case 14:
          if (equalsIgnoringCase(bytes, nameFrom, nameTo, "content-length")) {
            const value = decimal(bytes, from_, to_);
            if (length !== -1 && length !== value) throw new FramingError("two different Content-Length");
            length = value;
          }
          break;
        case 17:
          if (equalsIgnoringCase(bytes, nameFrom, nameTo, "transfer-encoding")) {
            if (chunked || !equalsIgnoringCase(bytes, from_, to_, "chunked"))
              throw new FramingError(`Transfer-Encoding '${latin1(bytes, from_, to_)}', not just 'chunked'`);
            chunked = true;
          }
          break;
      }
      at = next;
    }
    this.#frame(length, chunked, head);
    this.keepAlive = this.framing !== "close" && !close && (this.minor === 1 || keep);
  }

  /** The first field of that name (in lower case), trimmed; undefined where there is none. */
  header(lowerName: string): string | undefined {
    const o = this.#find(lowerName);
    return o < 0
      ? undefined
      : latin1(this.#bytes, this.#offsets[o + 2] as number, this.#offsets[o + 3] as number);
  }

  /** Calls `use` with the bytes of the first field of that name; says whether there is one. Allocates nothing. */
  withHeader(lowerName: string, use: (bytes: Uint8Array, from: number, to: number) => void): boolean {
    const o = this.#find(lowerName);
    if (o < 0) return false;
    use(this.#bytes, this.#offsets[o + 2] as number, this.#offsets[o + 3] as number);
    return true;
  }

  #find(lowerName: string): number {
    for (let o = 0; o < this.#fields * STRIDE; o += STRIDE)
      if (
        equalsIgnoringCase(this.#bytes, this.#offsets[o] as number, this.#offsets[o + 1] as number, lowerName)
      )
        return o;
    return -1;
  }

  /** RFC 9112, 4. A missing reason phrase is allowed, its blank too: many servers leave both out. */
  #statusLine(bytes: Uint8Array, from: number): number {
    assertStatusLineBegins(bytes, from);
    const minor = (bytes[from + 7] as number) - 48;
    if (minor !== 0 && minor !== 1) throw new FramingError("an HTTP version other than 1.0 and 1.1");
    this.minor = minor;
    let status = 0;
    for (let i = 9; i < 12; i++) {
      const digit = (bytes[from + i] as number) - 48;
      if (!(digit >= 0 && digit <= 9)) throw new FramingError("a status code that is not three digits");
      status = status * 10 + digit;
    }
    if (status < 100 || status > 599) throw new FramingError(`status code ${status}`);
    this.status = status;
    const blank = bytes[from + 12];
    if (bytes[from + 8] !== SP || (blank !== SP && blank !== CR))
      throw new FramingError("a status line without its spaces");
    let at = from + 12;
    while (FIELD_BYTE[bytes[at] as number] === 1) at++;
    return lineEnd(bytes, at, "the status line");
  }

  /** RFC 9112, 5: a bare LF, a folded line or a blank before the colon has been used to smuggle; none is let pass. */
  #fieldLine(bytes: Uint8Array, from: number, to: number): number {
    if (this.#fields === MAX_FIELDS) throw new FramingError(`more than ${MAX_FIELDS} fields`);
    let at = from;
    while (at < to && TCHAR[bytes[at] as number] === 1) at++;
    if (at === from || bytes[at] !== COLON) throw new FramingError("a field line without a proper name");
    const o = this.#fields++ * STRIDE;
    this.#offsets[o] = from;
    this.#offsets[o + 1] = at++;
    while (bytes[at] === SP || bytes[at] === HTAB) at++;
    const valueFrom = at;
    while (FIELD_BYTE[bytes[at] as number] === 1) at++;
    const next = lineEnd(bytes, at, "a field value");
    while (at > valueFrom && (bytes[at - 1] === SP || bytes[at - 1] === HTAB)) at--;
    this.#offsets[o + 2] = valueFrom;
    this.#offsets[o + 3] = at;
    return next;
  }

  /** RFC 9112, 6.3, in its order. */
  #frame(length: number, chunked: boolean, head: boolean): void {
    if (chunked && length !== -1) throw new FramingError("both Content-Length and Transfer-Encoding");
    if (chunked && this.minor === 0) throw new FramingError("Transfer-Encoding in HTTP/1.0");
    const bodiless = head || this.status < 200 || this.status === 204 || this.status === 304;
    if (chunked && (this.status < 200 || this.status === 204))
      throw new FramingError(`Transfer-Encoding with status ${this.status}`);
    this.contentLength = length === -1 ? 0 : length;
    if (bodiless || length === 0) this.framing = "none";
    else if (chunked) this.framing = "chunked";
    else this.framing = length === -1 ? "close" : "length";
  }
}

/** As far as there are bytes: another protocol on the line is told at once, not when it falls silent. */
export function assertStatusLineBegins(bytes: Uint8Array, from: number): void {
  for (let i = 0; i < PREFIX.length && from + i < bytes.length; i++)
    if (bytes[from + i] !== PREFIX.charCodeAt(i))
      throw new FramingError("does not begin with an HTTP/1.x status line");
}

function lineEnd(bytes: Uint8Array, at: number, what: string): number {
  if (bytes[at] === CR && bytes[at + 1] === LF) return at + 2;
  throw new FramingError(`a control byte in ${what}`);
}

function decimal(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - 48;
    if (!(digit >= 0 && digit <= 9)) return badLength(bytes, from, to);
    value = value * 10 + digit;
  }
  return from < to && value <= Number.MAX_SAFE_INTEGER ? value : badLength(bytes, from, to);
}

function badLength(bytes: Uint8Array, from: number, to: number): never {
  throw new FramingError(`Content-Length '${latin1(bytes, from, to)}'`);
}

/** Whether a comma-separated list holds a token, case ignored. */
function hasToken(bytes: Uint8Array, from: number, to: number, lower: string): boolean {
  if (equalsIgnoringCase(bytes, from, to, lower)) return true;
  const tokens = latin1(bytes, from, to).split(",");
  return tokens.length > 1 && tokens.some((token) => token.trim().toLowerCase() === lower);
}
