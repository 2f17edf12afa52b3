/** Words that are sub-commands of other tools (git help, go version) and options of ours: each is read as the option of that name. */
import { HupwatchError } from "../error.ts";
import { nearest } from "./suggestion.ts";
import { isCommandName, SUMMARIES } from "./summaries.ts";

const OPTIONS = new Map(Object.entries({ help: "--help", version: "--version" }));

/** `help reload` is `reload --help`. A program with such a name is run if it stands behind `--`. Throws if `help` names no sub-command. */
export function asOptions(words: readonly string[]): readonly string[] {
  const [word = "", about] = words;
  const option = OPTIONS.get(word);
  if (option === undefined) return words;
  const isAbout = word === "help" && about !== undefined && !about.startsWith("-") && !OPTIONS.has(about);
  if (!isAbout) return [option];
  if (isCommandName(about)) return [about, option];
  const meant = nearest(about, Object.keys(SUMMARIES));
  throw new HupwatchError("usage", `no sub-command '${about}'`, {
    hint: `${meant === undefined ? "" : `did you mean '${meant}'? `}'hupwatch help' lists them; for a program's own help: hupwatch -- ${about} --help`,
    exitCode: 2,
  });
}
