/**
 * Text of others, made harmless. What a child, its environment, a file name or another user's process says may hold orders to
 * the terminal (ESC, C0 and C1), line breaks that forge a line of the log, of the journal (`<0>`) or a "To fix:", and
 * marks that turn the order of what is read (Unicode's bidirectional controls). Everything that hupwatch writes for people
 * goes through here, in log.ts, main.ts and cli/print.ts; what it writes for programs is JSON.
 */

/** A tab is left as it is: it moves nothing but the text behind it, and stack traces are indented by it. */
const CONTROLS = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069";
const IN_A_LINE = new RegExp(`[\\n${CONTROLS}]`, "g");
/** All but the bold type and its end, which are our own headings'. */
const ON_A_PAGE = new RegExp(`(?!\\x1b\\[(?:1|22)m)[${CONTROLS}]`, "g");
/** What JSON.stringify leaves raw. */
const IN_JSON = new RegExp(`[${CONTROLS}]`, "g");

const hex = (character: string, width: number) => character.charCodeAt(0).toString(16).padStart(width, "0");

function shown(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  return character < "\u0100" ? `\\x${hex(character, 2)}` : `\\u${hex(character, 4)}`;
}

/** One line, whatever it was. */
export const plain = (text: string): string => text.replace(IN_A_LINE, shown);

/** Lines of ours, with text of others in them that has gone through `plain` where it could begin a line. */
export const plainPage = (text: string): string => text.replace(ON_A_PAGE, shown);

/** A text of others that may have several lines: from the second on they are marked, so that none passes for ours. */
export const quoted = (text: string): string => text.split("\n").map(plain).join("\n  | ");

/** The same value for a parser; for a terminal mere text. */
export const json = (value: unknown): string =>
  JSON.stringify(value).replace(IN_JSON, (character) => `\\u${hex(character, 4)}`);

/** What --name takes: harmless in every text, and in a command line that is shown to be copied. */
export const isName = (text: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}$/.test(text);
