/** What node:util's parser refuses, in one sentence that names the option, and the way out. */
import { HupwatchError } from "../error.ts";
import type { Command, OptionTable } from "./command.ts";
import { nearest } from "./suggestion.ts";

type Named = Pick<Command, "name" | "usageExitCode">;

/** `cause` is what parseArgs has thrown. */
export function misread(cause: unknown, cmd: Named, options: OptionTable): HupwatchError {
  const [message, hint] = explained(cause instanceof Error ? cause.message : String(cause), options);
  const help = `'hupwatch ${cmd.name === "run" ? "" : `${cmd.name} `}--help'`;
  return usageError(cmd, message, hint ? `${hint} Else see ${help}` : `see ${help}`);
}

/** Most often a variable that is not set: it would be taken for the current directory, or for no user in particular. */
export function rejectEmpty(values: Record<string, unknown>, cmd: Named): void {
  const empty = Object.keys(values).find((name) => [values[name]].flat().includes(""));
  if (empty !== undefined)
    throw usageError(
      cmd,
      `--${empty} '' is empty`,
      "give it a value, or leave it out; is a variable not set?",
    );
}

const usageError = ({ usageExitCode: exitCode }: Named, message: string, hint: string) =>
  new HupwatchError("usage", message, { exitCode, hint });

/** Its texts are right but long-winded: their first sentence names the option. */
function explained(text: string, options: OptionTable): [message: string, hint?: string | undefined] {
  const quoted = /^[^']*'(?:-\w, )?(--?[\w-]+)/.exec(text)?.[1] ?? "";
  if (text.includes("argument is ambiguous")) {
    const written = quoted.startsWith("--") ? `${quoted}=VALUE` : `${quoted}VALUE`;
    return [
      `option ${quoted} does not have a value, or has one that begins with a dash: that is written ${written}`,
    ];
  }
  if (text.includes("argument missing")) return [`option ${quoted} does not have a value`];
  const known = flagsOf(options);
  // `--no-wait=1`: the parser knows it without the value only.
  if (text.includes("does not take an argument") || known.includes(quoted))
    return [`option ${quoted} takes no value`];
  const first = text.split("\n")[0]?.split(". To specify")[0] ?? text;
  const meant = quoted.startsWith("--")
    ? nearest(
        quoted.slice(2),
        known.map((flag) => flag.slice(2)),
      )
    : undefined;
  return [`${first.charAt(0).toLowerCase()}${first.slice(1)}`, meant && `did you mean --${meant}?`];
}

const flagsOf = (options: OptionTable): string[] =>
  Object.entries(options).map(([name, { negated }]) => `--${negated ? "no-" : ""}${name}`);
