/** What was most likely meant by a word that is not known. */
import { HupwatchError } from "../error.ts";
import { SUMMARIES } from "./summaries.ts";

/** A mistyped sub-command is taken for a command to run, and is not found. Adds to that error's hint what `word`, the very first one, may have meant. */
export function suggesting(error: unknown, word: string): unknown {
  if (!(error instanceof HupwatchError) || error.code !== "command.not-found") return error;
  const meant = nearest(word, Object.keys(SUMMARIES));
  if (meant === undefined) return error;
  const { code, message, exitCode, hint, cause } = error;
  const meaning = `did you mean 'hupwatch ${meant}'?`;
  return new HupwatchError(code, message, { exitCode, hint: `${meaning} Else ${hint}`, cause });
}

export const nearest = (word: string, names: readonly string[]): string | undefined =>
  names.find((name) => isNear(word, name));

/** Two typos (two exchanged letters count as two), or one in a name as short as `run`. */
const isNear = (word: string, name: string) => distance(word, name) <= Math.min(2, name.length / 2);

/** Levenshtein's: how many letters have to be put in, taken out or changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(changed, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
  }
  return row[b.length] ?? 0;
}
