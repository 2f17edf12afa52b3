/**
 * Reads the words before a command by a table of options, exactly as parseArgs of node:util does (a test compares the two). Loading that
 * module takes half as long as loading the whole runtime.
 */
import type { OptionTable } from "./command.ts";

export type Word =
  /** `flag`: as it was written. `value`: what is written behind it, in the same word or in the next one. */
  | { kind: "option"; name: string; flag: string; value?: string; isInline?: boolean }
  | { kind: "dashes"; index: number }
  | { kind: "other"; index: number; text: string };

/** Nothing is refused here. Behind `--` nothing is an option. */
export function* readWords(words: readonly string[], table: OptionTable): Generator<Word> {
  for (let index = 0; index < words.length; index++) {
    const text = words[index] ?? "";
    if (text === "--") {
      yield { kind: "dashes", index };
      for (let rest = index + 1; rest < words.length; rest++)
        yield { kind: "other", index: rest, text: words[rest] ?? "" };
      return;
    }
    if (text.length < 2 || !text.startsWith("-")) {
      yield { kind: "other", index, text };
      continue;
    }
    for (const option of text.startsWith("--") ? [longOption(text)] : shortOptions(text, table)) {
      const next =
        takesValue(option.name, table) && option.value === undefined ? words[index + 1] : undefined;
      if (next !== undefined) index++;
      yield next === undefined ? option : { ...option, value: next };
    }
  }
}

type OptionWord = Extract<Word, { kind: "option" }>;

/** `--name` or `--name=value`; a name has at least one letter. */
function longOption(text: string): OptionWord {
  const equals = text.indexOf("=", 3);
  if (equals < 0) return { kind: "option", name: text.slice(2), flag: text };
  const flag = text.slice(0, equals);
  return { kind: "option", name: flag.slice(2), flag, value: text.slice(equals + 1), isInline: true };
}

/** `-x`, `-xyz`, `-xVALUE`, and a group whose last one has a value. */
function shortOptions(text: string, table: OptionTable): OptionWord[] {
  const options: OptionWord[] = [];
  for (let at = 1; at < text.length; at++) {
    const letter = text.charAt(at);
    const name = Object.keys(table).find((one) => table[one]?.short === letter) ?? letter;
    const value = takesValue(name, table) && at + 1 < text.length ? text.slice(at + 1) : undefined;
    const option: OptionWord = { kind: "option", name, flag: `-${letter}` };
    options.push(value === undefined ? option : { ...option, value, isInline: true });
    if (value !== undefined) break;
  }
  return options;
}

export const optionOf = (name: string, table: OptionTable) =>
  Object.hasOwn(table, name) ? table[name] : undefined;

const takesValue = (name: string, table: OptionTable): boolean => optionOf(name, table)?.type === "string";
