/**
 * Runs a sub-command as a citty command. `run` does not use citty, which costs 5 MB: a wrapper lives for months.
 * citty keeps only the last of a repeated flag and ignores unknown ones, so our own strict tables, from which the help and
 * the README are made, read the words once more.
 */
import { type ArgsDef, defineCommand, runCommand } from "citty";
import { COMMON_OPTIONS, type Command, type OptionTable } from "./command.ts";
import { parse } from "./parse.ts";

/** Returns the exit code. Throws HupwatchError. */
export async function dispatch(cmd: Command, words: readonly string[]): Promise<number> {
  const { result } = await runCommand(asCitty(cmd), { rawArgs: [...words] });
  return result as number;
}

const asCitty = (cmd: Command) =>
  defineCommand({
    meta: { name: cmd.name, description: cmd.summary },
    args: argsOf({ ...cmd.options, ...COMMON_OPTIONS }),
    run: ({ rawArgs }) => cmd.run(parse(cmd, rawArgs)),
  });

function argsOf(table: OptionTable): ArgsDef {
  return Object.fromEntries(
    Object.entries(table).map(([name, { type, help, short, value }]) => [
      name,
      { type, description: help, ...(short ? { alias: short } : {}), ...(value ? { valueHint: value } : {}) },
    ]),
  ) as ArgsDef;
}
