/**
 * Programs of the user that are run before the command, because only they know a setting: a runner, or a server's own code. Each
 * runs as the command will: in its environment and its directory, as its user, with its umask.
 */
import { HupwatchError } from "../../error.ts";
import { runToEnd } from "../../os/spawn.ts";
import type { CommandLine } from "../adapter.ts";

const TIME_LIMIT_MS = 30_000;

export interface Ran {
  stdout: string;
  stderr: string;
  exitCode: number;
  /** For a message: the end of what it wrote, or how it ended. */
  why: string;
}

/** `what` is for `explain`. Throws HupwatchError where it cannot be started. */
export function runFirst(command: CommandLine, words: readonly string[], what: string): Ran {
  const { env, directory, account = {}, look } = command;
  if (look === "blind")
    throw new HupwatchError(
      "look.blind",
      "explain runs nothing here: the kernel cannot keep a program from writing",
    );
  command.ran?.push(account.user === undefined ? what : `${what}, as ${account.user}`);
  const ran = runToEnd({ argv: words, env: { ...env }, cwd: directory, ...account }, TIME_LIMIT_MS);
  const last = ran.stderr.trim().split("\n").slice(-5).join("\n");
  return { stdout: ran.stdout, stderr: ran.stderr, exitCode: ran.exitCode ?? 1, why: last || endOf(ran) };
}

const endOf = ({ exitCode, signal }: ReturnType<typeof runToEnd>): string =>
  signal ? `it was ended by ${signal} within ${TIME_LIMIT_MS / 1000} s` : `it exited with ${exitCode}`;

/**
 * In explain, which may write nothing: a program that failed for that reason is noted in `unknown`, and is not a fault of the command.
 * False if it is one.
 */
export function isUnknown({ look, unknown }: CommandLine, what: string, why: string): boolean {
  if (!isDueToLook(look, why)) return false;
  const last = why.split("\n").at(-1);
  unknown?.push(`${what} is not known here, since explain may write nothing (${last}): a start runs it`);
  return true;
}

/** A start, which may write, might find it out. */
export const isDueToLook = (look: CommandLine["look"], why: string): boolean =>
  look === "blind" || (look === "confined" && /permission denied/i.test(why));
