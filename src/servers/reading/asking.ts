/** A server's own code is asked what its config file says: a program for its interpreter, which starts no server. */
import { HupwatchError } from "../../error.ts";
import type { Recognised } from "./recognise.ts";
import { type Ran, runFirst } from "./running.ts";

/** A config file may print what it likes: the answer is the last line behind this mark. Each program prints it. */
export const MARK = "hupwatch-settings:";

interface Answer extends Ran {
  /** As JSON; undefined where it did not come so far. */
  json: string | undefined;
}

/** `words` in the program's place, behind what stands before it. Throws HupwatchError where they cannot be started. */
export function ask({ commandLine, program }: Recognised, words: readonly string[], what: string): Answer {
  const ran = runFirst(commandLine, [...commandLine.words.slice(0, program.from), ...words], what);
  const json = ran.stdout.split("\n").findLast((line) => line.startsWith(MARK));
  return { ...ran, json: json?.slice(MARK.length) };
}

/** Why there is no answer. */
export interface Unasked {
  unasked: string;
}

/** The answer to `ask`; for servers that go on without it where the addresses are given by --bind. */
export function answerOf<T>(found: Recognised, words: () => string[], what: string): T | Unasked {
  try {
    const { json, why } = ask(found, words(), what);
    return json === undefined ? { unasked: why.split("\n").at(-1) ?? "" } : (JSON.parse(json) as T);
  } catch (error) {
    if (error instanceof HupwatchError) return { unasked: error.message };
    throw error;
  }
}
