/** The environment that a program has behind the words in front of it: `env A=1`, `chpst -e ./env`, `poetry run`. */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { HupwatchError } from "../../error.ts";
import { locate } from "../../os/lookup.ts";
import type { CommandLine } from "../adapter.ts";
import { configText } from "./config-text.ts";
import type { Change, Program } from "./program.ts";
import { isUnknown, runFirst } from "./running.ts";

/** As the program itself will have them. Throws HupwatchError where only a runner knows, and cannot be asked. */
export function behindFront(command: CommandLine, program: Program): Pick<CommandLine, "env" | "directory"> {
  let env: Record<string, string> = { ...command.env };
  let directory = command.directory;
  for (const change of program.changes) {
    if (change.kind === "set") env[change.name] = change.value;
    else if (change.kind === "unset") delete env[change.name];
    else if (change.kind === "clear") env = {};
    else if (change.kind === "chdir") directory = resolve(directory, change.path);
    else if (change.kind === "envdir" && command.account?.user === undefined)
      applyEnvdir(env, resolve(directory, change.path));
    else env = toldBy(change, command, program) ?? env;
  }
  return { env, directory };
}

/** envdir(8): the first line of each file, less the blanks at its end; NUL stands for a line break; an empty file unsets. */
function applyEnvdir(env: Record<string, string>, directory: string): void {
  for (const name of namesIn(directory)) {
    const text = configText(join(directory, name));
    if (text === "") delete env[name];
    else if (text !== undefined)
      env[name] = (text.split("\n")[0] ?? "").replace(/[ \t]+$/, "").replaceAll("\0", "\n");
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => !name.startsWith(".") && !name.includes("="));
  } catch {
    return []; // the program in front says it better
  }
}

/** What env(1) says in the program's place: where another user's files say it, that user reads them. Undefined where the runner is not there: the start itself says that better. */
function toldBy(
  change: Change,
  command: CommandLine,
  { from, name }: Program,
): Record<string, string> | undefined {
  const { env, directory, account } = command;
  const front = command.words.slice(0, from);
  const runner = change.kind === "runner" ? change.words : front.join(" ");
  try {
    locate({ argv: front, env: { ...env }, cwd: directory, ...account });
  } catch (error) {
    if (error instanceof HupwatchError) return undefined;
    throw error;
  }
  const what = `the environment behind '${runner}'`;
  if (command.look === "blind" && isUnknown(command, what, "it was not run")) return undefined;
  const words = [...front, Bun.which("env") ?? "env", "-0"];
  const told = runFirst(command, words, `'${runner}' was run to print its environment`);
  const pairs = told.stdout.split("\0").map((entry) => /^([^=\n]+)=(.*)$/s.exec(entry));
  if (told.exitCode === 0 && pairs.some(Boolean))
    return Object.fromEntries(pairs.flatMap((pair) => (pair ? [[pair[1], pair[2]]] : [])));
  if (isUnknown(command, what, told.why)) return undefined;
  throw new HupwatchError(
    "runner.silent",
    `'${runner}' does not say in which environment ${name} would run: ${told.why}`,
    {
      hint: `correct the error that '${runner} env' shows, or give ${name} by its path, e.g. .venv/bin/${name}`,
    },
  );
}
