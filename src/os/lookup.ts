/** Finds the program of a command as execvp(3) would, with the rights of the user that will run it. */
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { EXIT, HupwatchError } from "../error.ts";
import { mayExecute, withIdentity } from "./libc.ts";
import { type Account, fileIdentityOf, identityOptions, ownIdentity, requireSetpriv } from "./setpriv.ts";
import { withoutShell } from "./shell-words.ts";

/** A command, and what decides which program it is. */
export interface Lookup extends Account {
  argv: readonly string[];
  env: Record<string, string>;
  cwd: string;
}

/** Looks the command up from the child's directory and in the child's PATH. Throws HupwatchError with 126 or 127. */
export function locate(lookup: Lookup): string {
  const { argv, env, cwd } = lookup;
  const word = argv[0] ?? "";
  if (!isDirectory(cwd))
    throw new HupwatchError("command.no-directory", `cannot start '${word}': no directory ${cwd}`, {
      exitCode: EXIT.failed,
      hint: "create it, or point --chdir to one that exists",
    });
  // An empty word would name the directories of the PATH themselves.
  const paths = word === "" ? [] : searchPath(word, env, cwd);
  const absolute = word.includes("/") ? [resolve(cwd, word)] : paths;
  const files = absolute.filter(isFile);
  const mayRun = runnableBy(lookup, files);
  const runnable = files.find((_, i) => mayRun[i]);
  if (runnable) return runnable;
  const forbidden = files.find(isExecutable);
  if (forbidden) throw isForbidden(word, forbidden, lookup);
  if (files[0])
    throw new HupwatchError("command.not-executable", `cannot run '${word}': ${files[0]} is not executable`, {
      exitCode: EXIT.notExecutable,
      hint: `chmod +x ${files[0]}, or put its interpreter before it`,
    });
  if (absolute.some(isDirectory))
    throw new HupwatchError("command.not-executable", `cannot run '${word}': it is a directory`, {
      exitCode: EXIT.notExecutable,
      hint: "name a program",
    });
  throw new HupwatchError("command.not-found", `command not found: '${word}'`, {
    exitCode: EXIT.notFound,
    hint: wayTo(word, cwd),
  });
}

function wayTo(word: string, cwd: string): string {
  if (word === "") return "name a program: the command's first word is empty; is a variable not set?";
  const instead = withoutShell(word);
  if (instead !== undefined) return instead;
  if (word.startsWith("/")) return "correct the path";
  if (word.includes("/")) return `put it below ${cwd}, or correct the path`;
  return "install it, or give its path: it is not on PATH";
}

/** NAME_MAX of limits.h, in bytes. */
const NAME_BYTES_MAX = 255;

/** which(1), for messages about a program. The runtime throws if the name is longer than any path. */
export const which = (program: string, PATH: string): string | null =>
  Buffer.byteLength(program) > NAME_BYTES_MAX ? null : Bun.which(program, { PATH });

/**
 * Like `locate`, but checks its interpreter, too: a virtualenv that was moved or is incomplete has scripts whose interpreter is missing,
 * of which a shell only says "not found".
 */
export function requireRunnable(request: Lookup): void {
  const word = request.argv[0] ?? "";
  const named = shebangOf(locate(request));
  if (named === undefined) return;
  const interpreter = resolve(request.cwd, named);
  if (isFile(interpreter)) {
    const isOurselves = request.user === undefined && request.group === undefined;
    if (isOurselves || runnableBy(request, [interpreter])[0] || !isExecutable(interpreter)) return;
    throw isForbidden(word, interpreter, request);
  }
  throw new HupwatchError(
    "command.not-executable",
    `cannot run '${word}': ${named}, the interpreter that its first line names, does not exist`,
    { exitCode: EXIT.notFound, hint: "recreate its virtualenv, or correct that line" },
  );
}

/** We may run it, and that user may not. */
const isForbidden = (word: string, path: string, { user, group }: Account) =>
  new HupwatchError(
    "command.forbidden",
    `cannot run '${word}': ${user === undefined ? `group '${group}'` : `user '${user}'`} may not run ${path}`,
    {
      exitCode: EXIT.notExecutable,
      hint: `give it permission to read and execute that file and to enter each directory above it ('namei -l ${path}' shows them), or install it elsewhere`,
    },
  );

/** For each path, as that account; a process of its own asks where the kernel cannot be asked so. */
function runnableBy({ user, group }: Account, paths: readonly string[]): boolean[] {
  if ((user === undefined && group === undefined) || paths.length === 0) return paths.map(isExecutable);
  const answers = withIdentity(fileIdentityOf({ user, group }), ownIdentity(), () => paths.map(mayExecute));
  return paths.map((path, i) => answers[i] ?? askAs({ user, group }, path));
}

function askAs(account: Account, path: string): boolean {
  const words = [
    requireSetpriv(),
    ...identityOptions(account),
    "--",
    "/bin/sh",
    "-c",
    '[ -x "$1" ]',
    "sh",
    path,
  ];
  return Bun.spawnSync(words, { stderr: "ignore" }).success;
}

/** Of a script: the interpreter that its first line names. */
export function shebangOf(path: string): string | undefined {
  const head = Buffer.alloc(256); // BINPRM_BUF_SIZE of execve(2)
  try {
    const fd = openSync(path, "r");
    try {
      readSync(fd, head);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // executable and not readable: no script
  }
  return /^#![ \t]*([^ \t\n\0]+)/.exec(head.toString("latin1"))?.[1];
}

const searchPath = (word: string, env: Lookup["env"], cwd: string): string[] =>
  (env.PATH ?? "/usr/local/bin:/usr/bin:/bin").split(delimiter).map((dir) => resolve(cwd, dir, word));

export const isFile = (path: string) => stat(path)?.isFile() ?? false;
const isDirectory = (path: string) => stat(path)?.isDirectory() ?? false;

function stat(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined; // missing, a loop of links, or a file where a directory should be: not runnable either way
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
