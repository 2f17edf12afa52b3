/** How a sub-command's words are read: citty keeps only the last of a repeated flag and lets unknown ones pass. */
import { COMMON_OPTIONS, type Command, type OptionTable, type Parsed, type Values } from "./command.ts";
import { misread, rejectEmpty } from "./usage-error.ts";
import { optionOf, readWords, type Word } from "./words.ts";

export interface CutLine {
  head: string[];
  /** Undefined where no `--` and no first positional was seen. */
  wrapped: string[] | undefined;
  /** It was a `--`. */
  atDashes?: boolean;
}

/** Cuts a wrapping command's words where the wrapped command line starts: at `--`, else at the first word that is not an option. */
export function cutAtCommand(words: readonly string[], options: OptionTable): CutLine {
  for (const word of readWords(words, options)) {
    if (word.kind === "option") continue;
    const { index, kind } = word;
    if (kind === "other") return { head: words.slice(0, index), wrapped: words.slice(index) };
    return { head: words.slice(0, index), wrapped: words.slice(index + 1), atDashes: true };
  }
  return { head: [...words], wrapped: undefined };
}

/** Reads the words of one command. Throws a usage error that names the word. */
export function parse<T extends OptionTable>(cmd: Command<T>, words: readonly string[]): Parsed<T> {
  const options = { ...cmd.options, ...COMMON_OPTIONS };
  const { head, wrapped, atDashes }: CutLine = cmd.wraps
    ? cutAtCommand(words, options)
    : { head: [...words], wrapped: undefined };
  const { values, positionals } = strictly(head, cmd, options);
  rejectEmpty(values, cmd);
  return {
    values: values as Values<T>,
    positionals: wrapped ?? positionals,
    behindDashes: atDashes === true,
  };
}

type Given = Record<string, string | boolean | (string | boolean)[]>;

function strictly(
  words: string[],
  cmd: Pick<Command, "name" | "usageExitCode" | "wraps">,
  options: OptionTable,
) {
  const values: Given = {};
  const positionals: string[] = [];
  for (const word of readWords(words, options)) {
    if (word.kind === "other") positionals.push(word.text);
    if (word.kind !== "option") continue;
    const { name, value } = understood(word, cmd, options);
    const before = values[name];
    if (!options[name]?.multiple) values[name] = value;
    else values[name] = Array.isArray(before) ? [...before, value] : [value];
  }
  return { values, positionals };
}

/** Throws a usage error if the table does not allow it. */
function understood(
  { name, flag, value, isInline }: Extract<Word, { kind: "option" }>,
  cmd: Pick<Command, "name" | "usageExitCode" | "wraps">,
  options: OptionTable,
): { name: string; value: string | boolean } {
  const option = optionOf(name, options);
  const off = !option && flag.startsWith("--no-") && value === undefined ? name.slice(3) : undefined;
  if (off !== undefined && optionOf(off, options)?.type === "boolean") return { name: off, value: false };
  if (!option) throw misread({ is: "unknown", flag }, cmd, options);
  if (option.type === "boolean") {
    if (value !== undefined) throw misread({ is: "valued", flag: `--${name}` }, cmd, options);
    return { name, value: true };
  }
  if (value === undefined) throw misread({ is: "bare", flag: `--${name}` }, cmd, options);
  if (!isInline && value.length > 1 && value.startsWith("-"))
    throw misread({ is: "dashed", flag }, cmd, options);
  return { name, value };
}
