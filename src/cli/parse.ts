/**
 * How a sub-command's words are read. `node:util` parses by its table of options: citty keeps only the last of a repeated
 * flag and lets unknown ones pass.
 */
import { parseArgs } from "node:util";
import { COMMON_OPTIONS, type Command, type OptionTable, type Parsed, type Values } from "./command.ts";
import { misread, rejectEmpty } from "./usage-error.ts";

export interface CutLine {
  head: string[];
  /** Undefined where no `--` and no first positional was seen. */
  wrapped: string[] | undefined;
  /** It was a `--`. */
  atDashes?: boolean;
}

/** Cuts a wrapping command's words where the wrapped command line starts: at `--`, else at the first word that is not an option. */
export function cutAtCommand(words: readonly string[], options: OptionTable): CutLine {
  const { tokens } = parseArgs({
    args: [...words],
    options: nodeOptions(options),
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  for (const token of tokens) {
    if (token.kind === "option-terminator")
      return { head: words.slice(0, token.index), wrapped: words.slice(token.index + 1), atDashes: true };
    if (token.kind === "positional")
      return { head: words.slice(0, token.index), wrapped: words.slice(token.index) };
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

function strictly(args: string[], cmd: Pick<Command, "name" | "usageExitCode">, options: OptionTable) {
  try {
    return parseArgs({
      args,
      options: nodeOptions(options),
      strict: true,
      allowNegative: true,
      allowPositionals: true,
    });
  } catch (cause) {
    throw misread(cause, cmd, options);
  }
}

const nodeOptions = (table: OptionTable) =>
  Object.fromEntries(
    Object.entries(table).map(([name, o]) => [
      name,
      { type: o.type, ...(o.short ? { short: o.short } : {}), ...(o.multiple ? { multiple: true } : {}) },
    ]),
  );
