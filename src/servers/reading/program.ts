/** Finds the program in a command line: behind `env`, an interpreter, or a runner. Pure. */
import { basename } from "node:path";

export interface Program {
  /** Base name without `.py`: `gunicorn`. */
  name: string;
  /** Index of its word, or of the interpreter's before it. */
  from: number;
  /** Index of its first argument in the words. */
  argsFrom: number;
  /** The interpreter's word where one stands before it, e.g. `/venv/bin/python`. */
  interpreter?: string;
  /** A runner that stays as a process between hupwatch and the program, so that LISTEN_PID is not the program's pid. */
  runner?: string;
  /** What stands before it does to its environment, in order. */
  changes: readonly Change[];
}

export type Change =
  | { kind: "set"; name: string; value: string }
  | { kind: "unset"; name: string }
  | { kind: "clear" }
  /** `env -C`. */
  | { kind: "chdir"; path: string }
  /** A directory with a file for each variable: envdir(8), chpst -e. */
  | { kind: "envdir"; path: string }
  /** Only the runner itself knows: it makes a PATH of its own, and reads files of its own. */
  | { kind: "runner"; words: string };

const PYTHON = /^(python|pypy)[0-9.]*$/;
const RUBY = /^ruby[0-9.]*$/;
/** These replace themselves by the program (execvp), so that it keeps the pid; how many words go with them and their options. */
const EXECUTORS = new Map<string, { before: number; valued: RegExp }>(
  Object.entries({
    exec: { before: 0, valued: /^-a$/ },
    nohup: { before: 0, valued: /^$/ },
    setsid: { before: 0, valued: /^$/ },
    nice: { before: 0, valued: /^(-n|--adjustment)$/ },
    ionice: { before: 0, valued: /^(-c|-n)$/ },
    chrt: { before: 1, valued: /^-[TPD]$/ },
    taskset: { before: 1, valued: /^$/ },
    stdbuf: { before: 0, valued: /^-[ioe]$/ },
    chpst: { before: 0, valued: /^-[uUbeodmnfpctlL/]$/ },
    envdir: { before: 1, valued: /^$/ },
    "s6-envdir": { before: 1, valued: /^$/ },
    setuidgid: { before: 1, valued: /^$/ },
    "su-exec": { before: 1, valued: /^$/ },
    gosu: { before: 1, valued: /^$/ },
    setpriv: { before: 0, valued: /^--(reuid|regid|groups|pdeathsig)$/ },
    "opentelemetry-instrument": { before: 0, valued: /^--\w+$/ },
    "ddtrace-run": { before: 0, valued: /^$/ },
  }),
);
/** These stay as the program's parent. */
const RUNNERS = new Map<string, { words: RegExp; label: string; skip: number }>(
  Object.entries({
    uv: { words: /^run$/, label: "uv run", skip: 2 },
    npx: { words: /^(?!-)/, label: "npx", skip: 1 },
    bunx: { words: /^(?!-)/, label: "bunx", skip: 1 },
    tini: { words: /^/, label: "tini", skip: 1 },
    "dumb-init": { words: /^/, label: "dumb-init", skip: 1 },
  }),
);

/** Options of `uv run` whose value is a word of its own. */
const UV_VALUED =
  /^(--with|--with-editable|--with-requirements|-p|--python|--extra|--group|--env-file|--project|--directory|--package)$/;

export function programOf(words: readonly string[]): Program | undefined {
  let at = 0;
  let runner: string | undefined;
  const changes: Change[] = [];
  for (;;) {
    const name = basename(words[at] ?? "");
    const [executor, running] = [EXECUTORS.get(name), RUNNERS.get(name)];
    if (name === "env") {
      const behind = behindEnv(words, at + 1);
      changes.push(...changesOfEnv(words.slice(at + 1, behind)));
      at = behind;
    } else if (executor) {
      const behind = behindOptions(words, at + 1, executor.valued) + executor.before;
      const directory = envdirOf(name, words.slice(at + 1, behind));
      if (directory !== undefined) changes.push({ kind: "envdir", path: directory });
      at = behind;
    } else if (running?.words.test(words[at + 1] ?? "")) {
      runner = running.label;
      if (name === "uv") changes.push({ kind: "runner", words: runner });
      at = behindOptions(words, at + running.skip, UV_VALUED);
    } else if ((name === "poetry" || name === "pipenv") && words[at + 1] === "run") {
      changes.push({ kind: "runner", words: `${name} run` });
      at += 2;
    } else if (name === "bundle" && words[at + 1] === "exec") at += 2;
    else break;
  }
  const from = at;
  // Options of its own are not read: what has them stays unknown.
  if (RUBY.test(basename(words[at] ?? "")) && !words[at + 1]?.startsWith("-")) at += 1;
  const word = words[at];
  if (word === undefined) return undefined;
  const found = PYTHON.test(basename(word))
    ? pythonProgram(words, at)
    : { name: bare(word), argsFrom: at + 1 };
  return found && { ...found, from, changes, ...(runner ? { runner } : {}) };
}

const bare = (word: string) => basename(word).replace(/\.py$/, "");

/** The words between `env` and its command. */
function changesOfEnv(words: readonly string[]): Change[] {
  const changes: Change[] = [];
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i] ?? "";
    const valued = /^(-u|--unset|-C|--chdir)(?:=(.*))?$/s.exec(word) ?? /^(-u|-C)(.+)$/s.exec(word);
    const [, name, value = ""] = /^([^=/-][^=/]*)=(.*)$/s.exec(word) ?? [];
    if (valued) {
      const of = valued[2] ?? words[++i] ?? "";
      changes.push(/u/.test(valued[1] ?? "") ? { kind: "unset", name: of } : { kind: "chdir", path: of });
    } else if (/^(-|-i|--ignore-environment)$/.test(word)) changes.push({ kind: "clear" });
    else if (name) changes.push({ kind: "set", name, value });
  }
  return changes;
}

/** `words`: between its name and the command. */
function envdirOf(name: string, words: readonly string[]): string | undefined {
  if (name === "envdir" || name === "s6-envdir") return words.at(-1);
  if (name !== "chpst") return undefined;
  const at = words.findIndex((word) => /^-[vP012]*e/.test(word));
  return at < 0 ? undefined : (words[at] ?? "").replace(/^-[vP012]*e/, "") || words[at + 1];
}

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

/** Past `-x`, `-x VALUE`, `--y=VALUE` and a closing `--`. */
function behindOptions(words: readonly string[], from: number, valued: RegExp): number {
  let at = from;
  while (words[at]?.startsWith("-")) {
    const word = words[at] ?? "";
    if (word === "--") return at + 1;
    at += valued.test(word) ? 2 : 1;
  }
  return at;
}

/** Modules that run another one, or a script, in their own process; their options that have a value. */
const WRAPPERS = new Map<string, RegExp>(
  Object.entries({
    debugpy: /^--(listen|connect|log-to|parent-session-pid|adapter-access-token)$/,
    coverage: /^--(source|include|omit|rcfile|data-file|context|concurrency)$/,
    cProfile: /^-[os]$/,
  }),
);

/** `python [-options] -m module` and `python [-options] script`. */
function pythonProgram(words: readonly string[], at: number): Omit<Program, "from" | "changes"> | undefined {
  const interpreter = words[at] as string;
  let valued = /^-[XW]$/;
  for (let i = at + 1; i < words.length; i += 1) {
    const word = words[i] ?? "";
    if (word === "-m") {
      const module = words[i + 1];
      const wrapper = WRAPPERS.get(module ?? "");
      if (module === undefined) return undefined;
      if (!wrapper) return { name: module.replace(/\.__main__$/, ""), argsFrom: i + 2, interpreter };
      valued = wrapper;
      i += words[i + 2] === "run" ? 2 : 1;
    } else if (valued.test(word)) i += 1;
    else if (word === "-c") return undefined;
    else if (!word.startsWith("-")) return { name: bare(word), argsFrom: i + 1, interpreter };
  }
  return undefined;
}
