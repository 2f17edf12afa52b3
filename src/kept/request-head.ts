/**
 * The head of a request: what follows from it for the framing of its connection (RFC 9112, 3 to 6 and 9.3). Strict, since what two servers
 * could read differently must not be taken for a boundary. Pure, and byte by byte: it is read once for each request that is relayed.
 */
import { CR, FramingError, SP } from "../http/bytes.ts";
import { behindLine, FieldCursor, tokenEnd } from "../http/fields.ts";
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
/** One for all: what it has read is used at once. */
const FIELDS = new FieldCursor();

/** `bytes[from, to)` ends with the empty line. Throws FramingError. */
export function readRequest(bytes: Uint8Array, from: number, to: number): Request {
  const methodEnd = tokenEnd(bytes, from, to);
  const lineEnd = bytes.indexOf(CR, from);
  const version = lineEnd - VERSION.length - 1;
  if (!isRequestLine(bytes, methodEnd, version)) throw new FramingError("no request line");
  const minor = (bytes[lineEnd - 1] as number) - 48;
  FIELDS.begin();
  for (let at = behindLine(bytes, lineEnd, "the request line"); at < to - 2; )
    at = FIELDS.read(bytes, at, to);
  const { length, isChunked, closes, keeps } = FIELDS;
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

/** Methods are in upper case (RFC 9110, 9.1). */
function isMethod(bytes: Uint8Array, from: number, to: number, name: string): boolean {
  if (to - from !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name.charCodeAt(i)) return false;
  return true;
}
