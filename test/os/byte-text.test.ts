/** Whatever bytes come in go out again. */
import { expect, test } from "bun:test";
import { bytesOf, isPlainText, textOf } from "../../src/os/byte-text.ts";

test.each([
  ["ASCII", [0x61], true],
  ["UTF-8", [0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80], true],
  ["Latin-1", [0x63, 0x61, 0x66, 0xe9], false],
  ["a surrogate that is encoded", [0xed, 0xb3, 0xa9], false],
  ["too long a sequence", [0xc0, 0x80, 0xe0, 0x80, 0x80], false],
  ["one that ends early", [0xf0, 0x9f, 0x98], false],
  ["beyond Unicode", [0xf5, 0x80, 0x80, 0x80], false],
])("%s", (_, bytes, isPlain) => {
  const text = textOf(Buffer.from(bytes));
  expect(isPlainText(text)).toBe(isPlain);
  expect([...bytesOf(text)]).toEqual(bytes);
});
