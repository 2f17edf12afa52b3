/**
 * The file of --env-file: NAME=value lines, read anew for every generation. systemd's EnvironmentFile=, docker's --env-file and
 * dotenv read such files differently. Where they agree, hupwatch reads as they do. Where they differ, a warning names the line, but
 * never the value.
 *
 * systemd.exec(5) and its parse_env_file(); docker run --env-file (no quotes at all: of those nothing is said); python-dotenv.
 */
import { readFileSync } from "node:fs";
import { HupwatchError, systemReason } from "../error.ts";
import { withFile } from "../os/place.ts";
import type { Account } from "../os/setpriv.ts";
import { runToEnd } from "../os/spawn.ts";

/** Doubts about a line: each completes a sentence that begins with the line numbers. */
export const LINE_WARNINGS = {
  skipped: "not NAME=value, skipped",
  comment:
    "text behind a space and # is left out, as in dotenv, but systemd and docker keep it: quote the value, or give the comment a line of its own",
  backslash: "a backslash outside of quotes is kept, but systemd drops it: put the value into single quotes",
  escape: "a backslash with a letter in double quotes is replaced, as in dotenv, but systemd keeps it",
  "escaped dollar":
    "a backslash before $ or ` in double quotes is dropped, as in systemd, but dotenv keeps it",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's
  dollar: "${NAME} is kept as it is, as in systemd and docker, but some dotenvs replace it",
  open: "a quote is never closed, so it belongs to the value",
  behind: "text behind a closing quote belongs to the value, as in systemd, but dotenv refuses the line",
  colon: "NAME: value is read as NAME=value, but systemd and docker do not read it",
} as const;

export type LineWarning = keyof typeof LINE_WARNINGS;

export interface EnvFile {
  variables: Record<string, string>;
  /** Lines count from 1. */
  warnings: { line: number; warning: LineWarning }[];
}

/** Its variables. Throws HupwatchError where it cannot be read. */
export const readEnvFile = (path: string, account: Account): Record<string, string> =>
  parseEnvFile(path, account).variables;

/** `account`: the user that gets the variables. Throws HupwatchError if it cannot be read, or has what no environment can contain. */
export function parseEnvFile(path: string, account: Account): EnvFile {
  const parsed = parse(textOf(path, account));
  const broken = Object.entries(parsed.variables).find((entry) => entry.join("").includes("\0"));
  if (broken)
    throw new HupwatchError(
      "env-file.nul",
      `--env-file ${path}: ${broken[0].replaceAll("\0", "\\0")} has a NUL byte`,
      { hint: "remove it; no environment can contain one (environ(7))" },
    );
  return parsed;
}

const ASSIGNMENT = /^\s*(?:export\s+)?([\w.-]+)(\s*=|:(?=\s))/;

/** Of the text of a whole file. */
export function parse(text: string): EnvFile {
  const read: EnvFile = { variables: {}, warnings: [] };
  let rest = text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  for (let line = 1; rest !== ""; ) {
    const first = rest.split("\n", 1)[0] ?? "";
    const told = (warning: LineWarning) => void read.warnings.push({ line, warning });
    let taken = first.length;
    const assignment = ASSIGNMENT.exec(first);
    if (/^\s*([#;]|$)/.test(first)) {
      // A comment for all three, or for systemd alone; none of the others reads it as a variable.
    } else if (!assignment?.[1]) told("skipped");
    else {
      if (assignment[2] === ":") told("colon");
      const value = valueAt(rest.slice(assignment[0].length), told);
      read.variables[assignment[1]] = value.text;
      taken = assignment[0].length + value.length;
    }
    line += rest.slice(0, taken).split("\n").length;
    rest = rest.slice(taken + 1);
  }
  return read;
}

/** The value that the text begins with, and how far it and the rest of its last line go. */
function valueAt(text: string, told: (warning: LineWarning) => void): { text: string; length: number } {
  const line = text.split("\n", 1)[0] ?? "";
  const quoted = /^[^\S\n]*"((?:[^"\\]|\\[\s\S])*)"|^[^\S\n]*'([^']*)'/.exec(text);
  if (!quoted) {
    if (/^\s*["']/.test(line)) told("open");
    return { text: bare(line, told), length: line.length };
  }
  const [whole, double, single = ""] = quoted;
  const tail = text.slice(whole.length).split("\n", 1)[0] ?? "";
  const isComment = /^\s+#/.test(tail);
  if (isComment) told("comment");
  else if (tail.trim() !== "") told("behind");
  if (single.endsWith("\\")) told("backslash");
  const value = double === undefined ? single : unescaped(double, told);
  return { text: isComment ? value : value + tail.trim(), length: whole.length + tail.length };
}

function bare(line: string, told: (warning: LineWarning) => void): string {
  const comment = line.search(/\s#/);
  const value = (comment < 0 ? line : line.slice(0, comment)).trim();
  if (comment >= 0) told("comment");
  if (value.includes("\\")) told("backslash");
  if (FILLED_IN.test(value)) told("dollar");
  return value;
}

const FILLED_IN = /\$\{\w+[}:]/;
const LETTERS: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

function unescaped(text: string, told: (warning: LineWarning) => void): string {
  if (FILLED_IN.test(text)) told("dollar");
  if (/\\[nrt]/.test(text.replaceAll("\\\\", ""))) told("escape");
  if (/\\[$`]/.test(text.replaceAll("\\\\", ""))) told("escaped dollar");
  return text.replace(/\\([\s\S])/g, (both, c: string) => LETTERS[c] ?? (/["\\$`]/.test(c) ? c : both));
}

/** Half of what execve(2) takes where the stack is 8 MiB. */
const FILE_BYTES_MAX = 1024 * 1024;

function textOf(path: string, account: Account): string {
  let bytes: Uint8Array | undefined;
  try {
    bytes = withFile(path, ({ stat, self, isChosenByOthers }) => {
      if (!stat.isFile()) return undefined;
      if (stat.size > FILE_BYTES_MAX) throw new Error("it is larger than a megabyte");
      const isTheirs = isChosenByOthers && account.user !== undefined && process.getuid?.() === 0;
      return isTheirs ? readAs(account, path) : readFileSync(self);
    });
  } catch (cause) {
    if (cause instanceof HupwatchError) throw cause;
    const why = systemReason(cause);
    throw new HupwatchError("env-file.unreadable", `cannot read --env-file ${path}: ${why}`, {
      hint: "create it or correct the path; it is read again for every generation",
      cause,
    });
  }
  if (bytes) return decoded(path, bytes);
  throw new HupwatchError("env-file.not-a-file", `--env-file ${path} is not a regular file`, {
    hint: "write the variables into one; it is read again for every generation",
  });
}

const READING_MS = 10_000;

/** If root read it, the user could choose any file by a link, and would get its content. */
function readAs({ user, group }: Account, path: string): Uint8Array {
  const limited = ["/bin/sh", "-c", 'exec head -c "$1" -- "$2"', "sh", `${FILE_BYTES_MAX}`, path];
  const question = { argv: limited, env: { PATH: process.env.PATH ?? "" }, cwd: "/", user, group };
  const { exitCode, stdout, stderr } = runToEnd(question, READING_MS);
  if (exitCode === 0) return Buffer.from(stdout);
  throw new Error(`another user's symlink leads to it, so it is read as ${user}: ${stderr.trim()}`);
}

/** The runtime's strings cannot hold other bytes, and would change them silently. */
function decoded(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const lines = Buffer.from(bytes).toString("latin1").split("\n");
    const isBroken = (line: string) => Buffer.from(line, "latin1").toString("utf8").includes("\uFFFD");
    throw new HupwatchError(
      "env-file.encoding",
      `--env-file ${path}: line ${lines.findIndex(isBroken) + 1} is not UTF-8`,
      {
        hint: "write the file as UTF-8 (iconv -f latin1 -t utf-8)",
        cause,
      },
    );
  }
}
