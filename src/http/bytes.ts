/** Bytes of HTTP/1.1 messages: the constants and classes of RFC 9110/9112 that the readers here look up. Pure. */

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;
export const SEMICOLON = 59;

/** RFC 9110, 5.6.2: the bytes of a field name. 1 where the byte is one. */
export const TCHAR = classOf((b) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(b)));

/** RFC 9110, 5.5: the bytes of a field value or reason phrase, blanks included; CR, LF, NUL and DEL are none. */
export const FIELD_BYTE = classOf((b) => b === HTAB || (b >= SP && b !== 127));

function classOf(member: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (member(byte) ? 1 : 0));
}

/** 0 to 15, or -1 where the byte is not a hexadecimal digit. */
export function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** Compares `bytes[from, to)` with an ASCII text in lower case, case ignored. Allocates nothing. */
export function equalsIgnoringCase(bytes: Uint8Array, from: number, to: number, lower: string): boolean {
  if (to - from !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[from + i] as number;
    const folded = byte >= 65 && byte <= 90 ? byte | 32 : byte;
    if (folded !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** One byte per character: what a field value is unless specified otherwise (RFC 9110, 5.5). */
export function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1");
}

/** Why a message cannot be trusted: its framing breaks the rules, so where it ends is unknown. */
export class FramingError extends Error {
  override readonly name = "FramingError";
}
