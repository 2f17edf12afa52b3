/** Why an option is refused, in one sentence that names it, and the way out. */
import { HupwatchError } from "../error.ts";
import type { Command, OptionTable } from "./command.ts";
import { insteadOf } from "./other-options.ts";
import { nearest } from "./suggestion.ts";

type Named = Pick<Command, "name" | "usageExitCode" | "wraps">;

/** `flag`: as it was written, or as the table has it. */
export interface Misread {
  /** `valued`: takes no value and has one. `bare`: has none. `dashed`: the next word could be another option. */
  is: "unknown" | "valued" | "bare" | "dashed";
  flag: string;
}

export function misread(what: Misread, cmd: Named, options: OptionTable): HupwatchError {
  const [message, hint] = explained(what, options);
  const ownName = cmd.name === "run" ? "" : `${cmd.name} `;
  const own = cmd.wraps && what.is === "unknown" ? `; options of the command stand behind the command` : "";
  const help = `'hupwatch ${ownName}--help'${own}`;
  return usageError(cmd, message, hint ? `${hint} Else see ${help}` : `see ${help}`);
}

/** Most often a variable is not set: the empty value would mean the current directory, or no particular user. */
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

function explained(
  { is, flag }: Misread,
  options: OptionTable,
): [message: string, hint?: string | undefined] {
  if (is === "dashed") {
    const written = flag.startsWith("--") ? `${flag}=VALUE` : `${flag}VALUE`;
    return [`option ${flag} has no value, or one that begins with a dash: write that as ${written}`];
  }
  if (is === "bare") return [`option ${flag} needs a value`];
  const known = flagsOf(options);
  // `--no-wait=1`: known without the value only.
  if (is === "valued" || known.includes(flag)) return [`option ${flag} takes no value`];
  const names = known.map((one) => one.slice(2));
  const meant = flag.startsWith("--") ? nearest(flag.slice(2), names) : undefined;
  const instead = insteadOf(flag, options) ?? (meant && `did you mean --${meant}?`);
  return [`unknown option '${flag}'`, instead];
}

const flagsOf = (options: OptionTable): string[] =>
  Object.entries(options).map(([name, { negated }]) => `--${negated ? "no-" : ""}${name}`);
