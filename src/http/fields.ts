/**
 * The fields of a head, requests' and responses' alike, and what they say of its framing and its connection (RFC 9112, 5, 6 and 9.3). Strict,
 * since what two readers could read differently has been used to smuggle. It allocates nothing: one cursor goes over all heads.
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

/** A number is exact up to there. */
const LENGTH_DIGITS_MAX = 15;
const COMMA = 44;

export class FieldCursor {
  /** Of the field that was read last: the name without its colon, the value without the blanks around it. */
  nameFrom = 0;
  nameTo = 0;
  valueFrom = 0;
  valueTo = 0;
  /** Content-Length; -1 where there is none. */
  length = -1;
  isChunked = false;
  /** What `Connection` asks for. */
  closes = false;
  keeps = false;

  /** Another head begins. */
  begin(): void {
    this.length = -1;
    this.isChunked = false;
    this.closes = false;
    this.keeps = false;
  }

  /**
   * Reads the line at `from`, of a head that ends at `to`; returns where the next one begins. A bare LF, a folded line or a blank before
   * the colon is not let pass. Throws FramingError.
   */
  read(bytes: Uint8Array, from: number, to: number): number {
    const colon = tokenEnd(bytes, from, to);
    if (colon === from || bytes[colon] !== COLON)
      throw new FramingError("a field line without a proper name");
    let valueFrom = colon + 1;
    while (isBlank(bytes[valueFrom])) valueFrom++;
    let end = valueFrom;
    while (FIELD_BYTE[bytes[end] as number] === 1) end++;
    const next = behindLine(bytes, end, "a field value");
    while (end > valueFrom && isBlank(bytes[end - 1])) end--;
    this.nameFrom = from;
    this.nameTo = colon;
    this.valueFrom = valueFrom;
    this.valueTo = end;
    this.#note(bytes, colon - from);
    return next;
  }

  #note(bytes: Uint8Array, nameLength: number): void {
    if (nameLength === 10 && this.isNamed(bytes, "connection")) this.#noteConnection(bytes);
    else if (nameLength === 14 && this.isNamed(bytes, "content-length")) this.#noteLength(bytes);
    else if (nameLength === 17 && this.isNamed(bytes, "transfer-encoding")) this.#noteEncoding(bytes);
  }

  isNamed(bytes: Uint8Array, lowerName: string): boolean {
    return equalsIgnoringCase(bytes, this.nameFrom, this.nameTo, lowerName);
  }

  /** A list with commas between. */
  #noteConnection(bytes: Uint8Array): void {
    for (let from = this.valueFrom; from < this.valueTo; ) {
      let comma = from;
      while (comma < this.valueTo && bytes[comma] !== COMMA) comma++;
      let to = comma;
      while (from < to && isBlank(bytes[from])) from++;
      while (to > from && isBlank(bytes[to - 1])) to--;
      if (equalsIgnoringCase(bytes, from, to, "close")) this.closes = true;
      if (equalsIgnoringCase(bytes, from, to, "keep-alive")) this.keeps = true;
      from = comma + 1;
    }
  }

  #noteLength(bytes: Uint8Array): void {
    const length = decimal(bytes, this.valueFrom, this.valueTo);
    if (this.length !== -1 && this.length !== length) throw new FramingError("two different Content-Length");
    this.length = length;
  }

  #noteEncoding(bytes: Uint8Array): void {
    if (this.isChunked || !equalsIgnoringCase(bytes, this.valueFrom, this.valueTo, "chunked"))
      throw new FramingError(
        `Transfer-Encoding '${latin1(bytes, this.valueFrom, this.valueTo)}', not just 'chunked'`,
      );
    this.isChunked = true;
  }
}

const isBlank = (byte: number | undefined): boolean => byte === SP || byte === HTAB;

/** Where the token ends that begins at `from`: there, where none does. */
export function tokenEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && TCHAR[bytes[at] as number] === 1) at++;
  return at;
}

/** Throws FramingError where no line ends at `at`. */
export function behindLine(bytes: Uint8Array, at: number, what: string): number {
  if (bytes[at] === CR && bytes[at + 1] === LF) return at + 2;
  throw new FramingError(`a control byte in ${what}`);
}

function decimal(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - 48;
    if (!(digit >= 0 && digit <= 9)) throw badLength(bytes, from, to);
    value = value * 10 + digit;
  }
  if (to === from || to - from > LENGTH_DIGITS_MAX) throw badLength(bytes, from, to);
  return value;
}

const badLength = (bytes: Uint8Array, from: number, to: number): FramingError =>
  new FramingError(`Content-Length '${latin1(bytes, from, to)}'`);
