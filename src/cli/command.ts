/** A sub-command: a name, texts, one table of options, and what it does. Help, completion and the README are made from it. */

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
  /** The value if the option is left out. `withDefaults` applies it; for the options of `run` the plan does. */
  default?: string;
  /** The default in words, if it depends on something. */
  otherwise?: string;
}

export type OptionTable = Record<string, Option>;

type Value<O extends Option> = O["multiple"] extends true
  ? (O["type"] extends "string" ? string : boolean)[]
  : O["type"] extends "string"
    ? string
    : boolean;

export type Values<T extends OptionTable> = { [K in keyof T]?: Value<T[K]> };

type Defaulted<T extends OptionTable> = {
  [K in keyof T as T[K] extends { default: string } ? K : never]: string;
};

/** The values that were given, and the table's defaults for the others. */
export function withDefaults<T extends OptionTable>(table: T, values: Values<T>): Values<T> & Defaulted<T> {
  const left = Object.entries(table).filter(([name]) => values[name] === undefined);
  const defaults = left.flatMap(([name, option]) =>
    option.default === undefined ? [] : [[name, option.default]],
  );
  return { ...values, ...(Object.fromEntries(defaults) as Defaulted<T>) };
}

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
