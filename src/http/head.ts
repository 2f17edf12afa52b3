/**
 * The head of a response: status line, fields, and the framing that follows from them (RFC 9112, 4 to 6).
 * Strict on purpose: what two recipients could read differently is an error here, because a reader that guesses
 * would report a broken answer as a good one. Allocation-free but for texts that the caller wants: fields are
 * offsets into the bytes that were read. Owns nothing, does no I/O.
 */
import { CR, equalsIgnoringCase, FIELD_BYTE, FramingError, latin1, SP } from "./bytes.ts";
import { behindLine, FieldCursor } from "./fields.ts";

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
  readonly #cursor = new FieldCursor();
  #fields = 0;
  readonly #offsets = new Int32Array(MAX_FIELDS * STRIDE);

  /**
   * Reads `bytes[from, to)`, which ends with the empty line. The bytes are referred to, not copied: `header` works
   * as long as they do not change. `isHead`: the request was a HEAD. Throws FramingError.
   */
  parse(bytes: Uint8Array, from: number, to: number, { isHead }: { isHead: boolean }): void {
    this.#bytes = bytes;
    this.#fields = 0;
    const cursor = this.#cursor;
    cursor.begin();
    // The last two bytes are the empty line's.
    for (let at = this.#statusLine(bytes, from); at < to - 2; ) {
      if (this.#fields === MAX_FIELDS) throw new FramingError(`more than ${MAX_FIELDS} fields`);
      at = cursor.read(bytes, at, to);
      const o = this.#fields++ * STRIDE;
      this.#offsets[o] = cursor.nameFrom;
      this.#offsets[o + 1] = cursor.nameTo;
      this.#offsets[o + 2] = cursor.valueFrom;
      this.#offsets[o + 3] = cursor.valueTo;
    }
    this.#frame(isHead);
    const { closes, keeps } = cursor;
    this.keepAlive = this.framing !== "close" && !closes && (this.minor === 1 || keeps);
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
    return behindLine(bytes, at, "the status line");
  }

  /** RFC 9112, 6.3, in its order. */
  #frame(isHead: boolean): void {
    const { length, isChunked: chunked } = this.#cursor;
    if (chunked && length !== -1) throw new FramingError("both Content-Length and Transfer-Encoding");
    if (chunked && this.minor === 0) throw new FramingError("Transfer-Encoding in HTTP/1.0");
    const bodiless = isHead || this.status < 200 || this.status === 204 || this.status === 304;
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
