/** The file of --env-file: NAME=value lines, read anew for every generation. */
import { readFileSync, statSync } from "node:fs";
import { parseEnv } from "node:util";
import { HupwatchError } from "../error.ts";

/** Its variables. Throws HupwatchError where it cannot be read. */
export function readEnvFile(path: string): Record<string, string> {
  const variables = parseEnv(textOf(path)) as Record<string, string>;
  const broken = Object.entries(variables).find((entry) => entry.join("").includes("\0"));
  if (broken)
    throw new HupwatchError(
      "env-file.nul",
      `--env-file ${path}: ${broken[0].replaceAll("\0", "\\0")} has a NUL byte`,
      { hint: "take it out; no environment can hold one (environ(7))" },
    );
  return variables;
}

/** Numbers of the lines, from 1, that the parser passes over: no NAME=value, no remark, not blank. Throws as `readEnvFile`. */
export function skippedLines(path: string): number[] {
  const lines = textOf(path).split("\n");
  const skipped: number[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]?.trim() ?? "";
    if (line === "" || line.startsWith("#")) continue;
    const [value] = Object.values(parseEnv(line));
    if (value === undefined) skipped.push(i + 1);
    // A quote that a later line closes: these belong to the value.
    const quote = /^[^=:]*[=:]\s*(["'`])/.exec(line)?.[1];
    const isOpen = quote !== undefined && value?.startsWith(quote);
    if (isOpen)
      i = Math.max(
        i,
        lines.findIndex((later, j) => j > i && later.includes(quote)),
      );
  }
  return skipped;
}

function textOf(path: string): string {
  try {
    if (statSync(path).isFile()) return readFileSync(path, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HupwatchError("env-file.unreadable", `cannot read --env-file ${path}: ${why}`, {
      hint: "create it or correct the path; it is looked up again for every generation",
      cause,
    });
  }
  throw new HupwatchError("env-file.not-a-file", `--env-file ${path} is not a regular file`, {
    hint: "write the variables into one; it is read again for every generation",
  });
}
