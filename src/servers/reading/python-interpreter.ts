/** The interpreter of a Python program, for questions to its own modules and for calls that its script does not offer. */
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { HupwatchError } from "../../error.ts";
import { isFile, locate } from "../../os/lookup.ts";
import type { Recognised } from "./recognise.ts";

const PYTHON = /^(python|pypy)[0-9.]*$/;

/**
 * What stands before it in the words, else what its script names in its first lines, else the one beside it. Throws HupwatchError
 * where there is no script, or no interpreter.
 */
export function pythonOf({ words, env, directory, account, program }: Recognised): string[] {
  if (program.interpreter) return [program.interpreter];
  const word = words[program.argsFrom - 1] ?? program.name;
  const script = locate({ argv: [word], env: { ...env }, cwd: directory, ...account });
  const named = interpreterIn(script);
  if (named?.[0] && isPython(named[0])) return named;
  // A launcher for many programs (pyenv's shims are bash), or a virtualenv that was moved.
  const beside = ["python", "python3"].map((name) => join(dirname(ownPath(script)), name)).find(isFile);
  if (beside) return [beside];
  throw new HupwatchError(
    "python.unknown",
    `cannot tell which Python runs ${script}: its first lines name ${named ? `'${named.join(" ")}'` : "none"}`,
    { hint: `write it before the program: /path/to/python -m ${program.name} ...` },
  );
}

/** A bare word (`#!/usr/bin/env python3`) is looked up where the script runs, and so is the question's. */
const isPython = (word: string) => PYTHON.test(basename(word)) && (!word.includes("/") || isFile(word));

/** Of `#!`, or of the two lines that a shell reads where a shebang cannot say it. */
function interpreterIn(script: string): string[] | undefined {
  const [first = "", second = ""] = readFileSync(script, "utf8").slice(0, 2000).split("\n");
  // pip: `'''exec' "/my app/python" "$0" "$@"`, for a path that has blanks or is too long (vendor/distlib/scripts.py).
  const exec = /^'''exec' (.+?) "\$0" "\$@"/.exec(second)?.[1];
  if (exec) return [exec.includes("$") ? besideItself(exec, script) : unquoted(exec)];
  const shebang = /^#!\s*(\S+)(?:\s+(.*\S))?/.exec(first);
  if (!shebang?.[1]) return undefined;
  return shebang[1].endsWith("/env")
    ? (shebang[2] ?? "python3").replace(/^-S\s*/, "").split(/\s+/)
    : [shebang[1]];
}

/** uv --relocatable: `"$(dirname -- "$(realpath -- "$0")")"/'python'`. */
const besideItself = (exec: string, script: string): string =>
  join(dirname(ownPath(script)), unquoted(exec.slice(exec.lastIndexOf("/") + 1)));

const unquoted = (text: string): string => text.replace(/^(["'])(.*)\1$/, "$2");

/** Where its last symlink leads; the directories stay as they are written, since `current` is followed anew each time. */
function ownPath(script: string): string {
  let path = script;
  for (let hops = 0; hops < 40 && lstatSync(path).isSymbolicLink(); hops += 1)
    path = resolve(dirname(path), readlinkSync(path));
  return path;
}
