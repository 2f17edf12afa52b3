/** The interpreter of a Python program, for questions to its own modules and for calls that its script does not offer. */
import { readFileSync } from "node:fs";
import { locate } from "../../os/lookup.ts";
import type { CommandLine } from "../adapter.ts";
import type { Program } from "./program.ts";

/** What stands before it in the words, else what its script names in the first line. Throws HupwatchError where there is no script. */
export function pythonOf(command: CommandLine, program: Program): string[] {
  if (program.interpreter) return [program.interpreter];
  const word = command.words[program.argsFrom - 1] ?? program.name;
  const script = locate({ argv: [word], env: { ...command.env }, cwd: command.directory });
  const head = readFileSync(script, "latin1").slice(0, 400).split("\n");
  // pip writes `#!/bin/sh` and `'''exec' "/path/python" "$0"` where the interpreter's path is too long for a shebang.
  const exec = /^'''exec' "?([^" ]+)"?/.exec(head[1] ?? "");
  if (exec?.[1]) return [exec[1]];
  const shebang = /^#!\s*(\S+)(?:\s+(.*\S))?/.exec(head[0] ?? "");
  if (!shebang?.[1]) return ["python3"];
  return shebang[1].endsWith("/env")
    ? (shebang[2] ?? "python3").replace(/^-S\s*/, "").split(/\s+/)
    : [shebang[1]];
}
