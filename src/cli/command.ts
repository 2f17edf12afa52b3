/**
 * What a sub-command is, and how its words are read.
 *
 * A command's options are one table. `node:util` parses by it (citty keeps only the last of a repeated flag and
 * lets unknown ones pass), help and shell completion come from it, and the README's tables are tested against it.
 */
import { parseArgs } from "node:util";
import { misread, rejectEmpty } from "./usage-error.ts";

export interface Option {
  type: "string" | "boolean";
  /** One letter, without the dash. */
  short?: string;
  /** On unless `--no-NAME` says otherwise: help and README show that form. */
  negated?: boolean;
  /** May be given more than once. */
  multiple?: boolean;
  /** Placeholder in the help, e.g. `SEC`. */
  value?: string;
  /** What the help and the README say; one line. */
  help: string;
  /** Shown in the help; the code that reads the option applies it. */
  default?: string;
}

export type OptionTable = Record<string, Option>;

type Value<O extends Option> = O["multiple"] extends true
  ? (O["type"] extends "string" ? string : boolean)[]
  : O["type"] extends "string"
    ? string
    : boolean;

export type Values<T extends OptionTable> = { [K in keyof T]?: Value<T[K]> };

export interface Parsed<T extends OptionTable> {
  values: Values<T>;
  positionals: string[];
  /** A `--` stood before them. */
  behindDashes?: boolean;
}

/** A sub-command: a file of its own in this folder, loaded only when it is asked for. */
export interface Command<T extends OptionTable = OptionTable> {
  name: string;
  /** One line. */
  summary: string;
  /** The words behind the name in the usage line, e.g. `[options] TARGET`. */
  usage: string;
  options: T;
  examples: { command: string; meaning: string }[];
  /** Text behind the options: exit codes, signals, notes. */
  epilogue?: string;
  /** 125 for `run`, 2 for the sub-commands that answer a question. */
  usageExitCode: number;
  /**
   * Options end at the first positional, which starts another command line (`run`, `verify`, `explain`).
   * That line, untouched, is then what `positionals` holds.
   */
  wraps?: boolean;
  /** Returns the exit code. Throws HupwatchError. */
  run(parsed: Parsed<T>): Promise<number>;
}

export const command = <const T extends OptionTable>(definition: Command<T>): Command<T> => definition;

/** Every command has it; listed last in the help. */
export const COMMON_OPTIONS = {
  help: { type: "boolean", short: "h", help: "show this help and exit" },
} as const satisfies OptionTable;

export interface CutLine {
  head: string[];
  /** Undefined where no `--` and no first positional was seen. */
  wrapped: string[] | undefined;
  /** It was a `--`. */
  atDashes?: boolean;
}

/** Cuts a wrapping command's words where the wrapped command line starts: at `--`, else at the first word that is no option. */
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
