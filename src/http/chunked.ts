/**
 * The chunked coding (RFC 9112, 7.1) as a state machine over bytes that come in any pieces, chunk extensions and
 * trailers included. Pure. Line ends must be CRLF: a bare LF is an error, as everywhere in this folder.
 */
import { COLON, CR, FIELD_BYTE, FramingError, HTAB, hexValue, LF, SEMICOLON, SP, TCHAR } from "./bytes.ts";

type State =
  | "size"
  | "extension"
  | "size-lf"
  | "data"
  | "data-cr"
  | "data-lf"
  | "trailer-start"
  | "trailer-name"
  | "trailer-value"
  | "trailer-lf"
  | "last-lf"
  | "done";

/** Size lines and trailers together, without the data: a server may not make a client count for ever. */
const MAX_OVERHEAD_BYTES = 16 * 1024 * 1024;
const MAX_SIZE_DIGITS = 13;

export type Sink = (bytes: Uint8Array, from: number, to: number) => void;

export class ChunkedDecoder {
  #state: State = "size";
  #left = 0;
  #digits = 0;
  #overhead = 0;
  /** Bytes of data so far. */
  dataBytes = 0;

  get done(): boolean {
    return this.#state === "done";
  }

  reset(): void {
    this.#state = "size";
    this.#left = this.#digits = this.#overhead = this.dataBytes = 0;
  }

  /** Reads `bytes[from, to)`, gives data to `sink`, returns where it stopped: `to`, or behind the end. Throws FramingError. */
  push(bytes: Uint8Array, from: number, to: number, sink?: Sink): number {
    let at = from;
    while (at < to && this.#state !== "done") {
      if (this.#state === "data") {
        const end = Math.min(to, at + this.#left);
        sink?.(bytes, at, end);
        this.dataBytes += end - at;
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = "data-cr";
      } else {
        if (++this.#overhead > MAX_OVERHEAD_BYTES) throw new FramingError("endless chunk overhead");
        this.#step(bytes[at++] as number);
      }
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case "size":
        this.#size(byte);
        return;
      case "extension":
        if (byte === CR) this.#state = "size-lf";
        else if (FIELD_BYTE[byte] === 0) throw new FramingError("a control byte in a chunk extension");
        return;
      case "size-lf":
        expect(byte, LF, "a chunk size");
        this.#state = this.#left === 0 ? "trailer-start" : "data";
        this.#digits = 0;
        return;
      case "data-cr":
        expect(byte, CR, "chunk data");
        this.#state = "data-lf";
        return;
      case "data-lf":
        expect(byte, LF, "chunk data");
        this.#state = "size";
        return;
      case "trailer-start":
        if (byte === CR) this.#state = "last-lf";
        else if (TCHAR[byte] === 1) this.#state = "trailer-name";
        else throw new FramingError("a trailer line without a proper name");
        return;
      case "trailer-name":
        if (byte === COLON) this.#state = "trailer-value";
        else if (TCHAR[byte] === 0) throw new FramingError("a trailer line without a proper name");
        return;
      case "trailer-value":
        if (byte === CR) this.#state = "trailer-lf";
        else if (FIELD_BYTE[byte] === 0) throw new FramingError("a control byte in a trailer");
        return;
      case "trailer-lf":
        expect(byte, LF, "a trailer");
        this.#state = "trailer-start";
        return;
      case "last-lf":
        expect(byte, LF, "the last chunk");
        this.#state = "done";
        return;
    }
  }

  #size(byte: number): void {
    const digit = hexValue(byte);
    if (digit >= 0) {
      if (++this.#digits > MAX_SIZE_DIGITS) throw new FramingError("a chunk size with too many digits");
      this.#left = this.#left * 16 + digit;
      return;
    }
    if (this.#digits === 0) throw new FramingError("a chunk without a size");
    if (byte === CR) this.#state = "size-lf";
    // "Bad" blanks before the extension are to be read (RFC 9112, 7.1.1).
    else if (byte === SEMICOLON || byte === SP || byte === HTAB) this.#state = "extension";
    else throw new FramingError("a chunk size that is not a hexadecimal number");
  }
}

function expect(byte: number, wanted: number, behind: string): void {
  if (byte !== wanted) throw new FramingError(`no line end behind ${behind}`);
}
