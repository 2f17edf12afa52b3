/** The first step of every adapter but generic.ts: is this command its server, and which of the words are the server's own? */
import { resolve } from "node:path";
import type { CommandLine } from "../adapter.ts";
import { behindFront } from "./front.ts";
import { type Program, programOf } from "./program.ts";
import { type Spelling, spelledOut } from "./spelling.ts";

/** The environment and the directory are the program's own, behind what stands before it. */
export interface Recognised extends CommandLine {
  /** The whole command, for questions that are put behind the same words. */
  commandLine: CommandLine;
  program: Program;
  /** Up to the program's name. */
  front: readonly string[];
  /** The program's own, each option in one spelling. */
  args: readonly string[];
  /** For `ServerTraits.server`. */
  title: string;
}

/**
 * Reads the directory of an envdir in front of it, and runs a runner in front of it (`uv run env`). Throws HupwatchError where the runner
 * does not say what it would run in.
 */
export function recognise(
  command: CommandLine,
  title: string,
  name: RegExp,
  spelling?: Spelling,
): Recognised | undefined {
  const program = programOf(command.words);
  if (!program || !name.test(program.name)) return undefined;
  const front = command.words.slice(0, program.argsFrom);
  const args = command.words.slice(program.argsFrom);
  return {
    ...command,
    ...behindFront(command, program),
    commandLine: command,
    program,
    front,
    args: spelling ? spelledOut(args, spelling) : args,
    title: `${title} (${front.join(" ")})`,
  };
}

/** `unix:` with an absolute path, so that it means the same from any directory. */
export const unixSpec = (path: string, directory: string): string => `unix:${resolve(directory, path)}`;

/** A host and a port as a SPEC: an IPv6 address gets its brackets. */
export const tcpSpec = (host: string, port: string | number): string =>
  `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
