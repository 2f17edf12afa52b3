/** Sub-commands of other tools. Those that are options here are read as these options; the others are refused, and the error names what to use. */
import { EXIT, HupwatchError } from "../error.ts";
import { nearest } from "./suggestion.ts";
import { isCommandName, SUMMARIES } from "./summaries.ts";

/** git help, go version. */
const OPTIONS = new Map(Object.entries({ help: "--help", version: "--version" }));

const RELOAD = "'hupwatch reload' replaces it with a fresh copy of itself";
const STOP = "'hupwatch stop' stops it";
const STATUS = "'hupwatch status' shows what runs";
const LOG =
  "its log goes to its stderr, which its starter has directed, and 'hupwatch status' shows the last swaps";

/** supervisorctl shutdown, systemctl restart, docker logs. Some are programs, too: `hupwatch shutdown` is not to bring the machine down. */
const OTHERS = new Map(
  Object.entries({
    start: "put the command behind --: hupwatch -- COMMAND",
    restart: RELOAD,
    update: RELOAD,
    reread: RELOAD,
    shutdown: STOP,
    kill: STOP,
    signal: "kill(1) sends its pid a signal, and 'hupwatch status' shows the pid",
    list: STATUS,
    ps: STATUS,
    logs: LOG,
    tail: LOG,
  }),
);

/** `help reload` is `reload --help`. A program with such a name is run if it stands behind `--`. Throws if a word is no sub-command of ours. */
export function asOptions(words: readonly string[]): readonly string[] {
  const [word = "", about] = words;
  const ours = OTHERS.get(word);
  if (ours !== undefined) throw unlike(word, ours);
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

const unlike = (word: string, ours: string) =>
  new HupwatchError("usage", `no sub-command '${word}'`, {
    hint: `${ours}; a program with that name: hupwatch -- ${word}`,
    exitCode: EXIT.failed,
  });
