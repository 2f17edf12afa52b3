/** Finds the program in a command line: behind `env`, an interpreter, or a runner. Pure. */
import { basename } from "node:path";

export interface Program {
  /** Base name without `.py`: `gunicorn`. */
  name: string;
  /** Index of its first argument in the words. */
  argsFrom: number;
  /** The interpreter's word where one stands before it, e.g. `/venv/bin/python`. */
  interpreter?: string;
  /** A runner that stays as a process between hupwatch and the program, so that LISTEN_PID is not the program's pid. */
  runner?: string;
  /** What `env NAME=VALUE` before it adds to its environment. */
  assignments: Record<string, string>;
}

const PYTHON = /^(python|pypy)[0-9.]*$/;
/** These replace themselves by the program (execvp): poetry and pipenv on Unix, bundler, setpriv, chrt, nice, ionice. */
const EXECUTES_WITH = new Set(["exec"]);

export function programOf(words: readonly string[]): Program | undefined {
  let at = 0;
  let runner: string | undefined;
  const assignments: Record<string, string> = {};
  for (;;) {
    const name = basename(words[at] ?? "");
    if (name === "env") {
      const behind = behindEnv(words, at + 1);
      for (const word of words.slice(at + 1, behind)) {
        const [, key, value = ""] = /^([^=/-][^=/]*)=(.*)$/s.exec(word) ?? [];
        if (key) assignments[key] = value;
      }
      at = behind;
    } else if (EXECUTES_WITH.has(name)) at += 1;
    else if ((name === "poetry" || name === "pipenv" || name === "uv") && words[at + 1] === "run") {
      if (name === "uv") runner = "uv run";
      at += 2;
    } else if (name === "bundle" && words[at + 1] === "exec") at += 2;
    else break;
  }
  const word = words[at];
  if (word === undefined) return undefined;
  const found = PYTHON.test(basename(word))
    ? pythonProgram(words, at)
    : { name: bare(word), argsFrom: at + 1 };
  return found && { ...found, assignments, ...(runner ? { runner } : {}) };
}

const bare = (word: string) => basename(word).replace(/\.py$/, "");

/** `env [-i] [-u NAME] [NAME=VALUE...]` */
function behindEnv(words: readonly string[], from: number): number {
  let at = from;
  while (at < words.length) {
    const word = words[at] ?? "";
    if (word === "-u" || word === "-C" || word === "--unset" || word === "--chdir") at += 2;
    else if (word.startsWith("-") || /^[^=/]+=/.test(word)) at += 1;
    else break;
  }
  return at;
}

/** `python [-options] -m module` and `python [-options] script`. */
function pythonProgram(words: readonly string[], at: number): Omit<Program, "assignments"> | undefined {
  const interpreter = words[at] as string;
  for (let i = at + 1; i < words.length; i += 1) {
    const word = words[i] ?? "";
    if (word === "-m") {
      const module = words[i + 1];
      return module ? { name: module.replace(/\.__main__$/, ""), argsFrom: i + 2, interpreter } : undefined;
    }
    if (word === "-X" || word === "-W") i += 1;
    else if (word === "-c") return undefined;
    else if (!word.startsWith("-")) return { name: bare(word), argsFrom: i + 1, interpreter };
  }
  return undefined;
}
