/**
 * Bytes that are not UTF-8, as text and back without a loss. The runtime's strings would have U+FFFD in their place. Here such a byte
 * becomes a lone surrogate, U+DC80 to U+DCFF, to which no UTF-8 decodes (as in Python's PEP 383). A start of a process needs the
 * bytes again: see trampoline.ts.
 */
import { isUtf8 } from "node:buffer";

/** Well-formed sequences (RFC 3629), and what is left: a byte that begins none. */
const SEQUENCES =
  /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]/g;

export function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  return bytes
    .toString("latin1")
    .replace(SEQUENCES, (found) =>
      found.length === 1
        ? String.fromCharCode(0xdc00 + found.charCodeAt(0))
        : Buffer.from(found, "latin1").toString(),
    );
}

export function bytesOf(text: string): Buffer {
  if (isPlainText(text)) return Buffer.from(text);
  const parts = text.split(/([\udc80-\udcff])/u);
  return Buffer.concat(
    parts.map((part, i) => (i % 2 === 0 ? Buffer.from(part) : Buffer.of(part.charCodeAt(0) - 0xdc00))),
  );
}

/** The runtime can write it as it is. */
export const isPlainText = (text: string): boolean => text.isWellFormed();
