/**
 * The head of a request: what follows from it for the framing of its connection (RFC 9112, 3 to 6 and 9.3). Strict, since what two servers
 * could read differently must not be taken for a boundary. Pure, and byte by byte: it is read once for each request that is relayed.
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
} from "../http/bytes.ts";
import type { Framing } from "../http/head.ts";

export interface Request {
  isHead: boolean;
  isConnect: boolean;
  /** Its client wants the connection to be closed behind the answer. */
  isLast: boolean;
  framing: Framing;
  /** Of its body; only with framing "length". */
  bytes: number;
}

const VERSION = " HTTP/1.";
/** A number is exact up to there. */
const LENGTH_DIGITS_MAX = 15;

/** What the fields say. */
interface Said {
  length: number;
  isChunked: boolean;
  closes: boolean;
  keeps: boolean;
}

/** `bytes[from, to)` ends with the empty line. Throws FramingError. */
export function readRequest(bytes: Uint8Array, from: number, to: number): Request {
  const methodEnd = tokenEnd(bytes, from, to);
  const lineEnd = bytes.indexOf(CR, from);
  const version = lineEnd - VERSION.length - 1;
  if (!isRequestLine(bytes, methodEnd, version)) throw new FramingError("no request line");
  const minor = (bytes[lineEnd - 1] as number) - 48;
  const said: Said = { length: -1, isChunked: false, closes: false, keeps: false };
  for (let at = behindLine(bytes, lineEnd); at < to - 2; ) at = readField(bytes, at, to, said);
  const { length, isChunked, closes, keeps } = said;
  if (isChunked && (length !== -1 || minor === 0)) throw new FramingError("Transfer-Encoding");
  return {
    isHead: isMethod(bytes, from, methodEnd, "HEAD"),
    isConnect: isMethod(bytes, from, methodEnd, "CONNECT"),
    isLast: closes || (minor === 0 && !keeps),
    framing: isChunked ? "chunked" : length > 0 ? "length" : "none",
    bytes: Math.max(0, length),
  };
}

/** A method, a target without blanks, and the version at `version`. */
function isRequestLine(bytes: Uint8Array, methodEnd: number, version: number): boolean {
  if (methodEnd < 1 || bytes[methodEnd] !== SP || version < methodEnd + 2) return false;
  for (let at = methodEnd + 1; at < version; at++) {
    const byte = bytes[at] as number;
    if (byte <= SP || byte === 127) return false;
  }
  for (let i = 0; i < VERSION.length; i++) if (bytes[version + i] !== VERSION.charCodeAt(i)) return false;
  const minor = bytes[version + VERSION.length];
  return minor === 48 || minor === 49;
}

/** Returns where the next line begins. */
function readField(bytes: Uint8Array, from: number, to: number, said: Said): number {
  const colon = tokenEnd(bytes, from, to);
  if (colon === from || bytes[colon] !== COLON) throw new FramingError("a field line without a proper name");
  let valueFrom = colon + 1;
  while (isBlank(bytes[valueFrom])) valueFrom++;
  let end = valueFrom;
  while (FIELD_BYTE[bytes[end] as number] === 1) end++;
  const next = behindLine(bytes, end);
  while (end > valueFrom && isBlank(bytes[end - 1])) end--;
  switch (colon - from) {
    case 10:
      if (equalsIgnoringCase(bytes, from, colon, "connection")) readConnection(bytes, valueFrom, end, said);
      break;
    case 14:
      if (equalsIgnoringCase(bytes, from, colon, "content-length")) {
        const length = decimal(bytes, valueFrom, end);
        if (said.length !== -1 && said.length !== length) throw new FramingError("Content-Length");
        said.length = length;
      }
      break;
    case 17:
      if (equalsIgnoringCase(bytes, from, colon, "transfer-encoding")) {
        const isChunked = equalsIgnoringCase(bytes, valueFrom, end, "chunked");
        if (said.isChunked || !isChunked) throw new FramingError("Transfer-Encoding");
        said.isChunked = true;
      }
  }
  return next;
}

function readConnection(bytes: Uint8Array, from: number, to: number, said: Said): void {
  for (const option of latin1(bytes, from, to).toLowerCase().split(",")) {
    const name = option.trim();
    said.closes ||= name === "close";
    said.keeps ||= name === "keep-alive";
  }
}

function tokenEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && TCHAR[bytes[at] as number] === 1) at++;
  return at;
}

const isBlank = (byte: number | undefined): boolean => byte === SP || byte === HTAB;

/** Methods are in upper case (RFC 9110, 9.1). */
function isMethod(bytes: Uint8Array, from: number, to: number, name: string): boolean {
  if (to - from !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name.charCodeAt(i)) return false;
  return true;
}

function behindLine(bytes: Uint8Array, at: number): number {
  if (bytes[at] === CR && bytes[at + 1] === LF) return at + 2;
  throw new FramingError("a control byte in a line");
}

function decimal(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - 48;
    if (!(digit >= 0 && digit <= 9)) throw new FramingError("Content-Length");
    value = value * 10 + digit;
  }
  if (to === from || to - from > LENGTH_DIGITS_MAX) throw new FramingError("Content-Length");
  return value;
}
