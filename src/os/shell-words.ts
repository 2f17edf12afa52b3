/**
 * Words that only a shell understands. No shell runs the command, so they are looked up as programs and not found; the way out names what
 * does the same without a shell.
 */

/** The built-in commands and keywords of sh(1p) and bash(1) that are no programs. `which` may find some of them all the same: those run. */
const INSTEAD: Readonly<Record<string, string>> = {
  cd: "use --chdir DIR, and leave 'cd' out",
  pushd: "use --chdir DIR, and leave 'pushd' out",
  source: "use --env-file FILE for a file of NAME=value lines",
  ".": "use --env-file FILE for a file of NAME=value lines",
  export: "put env before the command: env NAME=value COMMAND",
  declare: "put env before the command: env NAME=value COMMAND",
  set: "put env before the command: env NAME=value COMMAND",
  unset: "put env before the command: env -u NAME COMMAND",
  ulimit: "put prlimit before the command, e.g. prlimit --nofile=65536 COMMAND",
  umask: "use --umask 0027, and leave 'umask' out",
  exec: "leave 'exec' out: the command is run without a shell",
  command: "leave 'command' out: the command is run without a shell",
  builtin: "leave 'builtin' out: the command is run without a shell",
};

const KEYWORDS = new Set(
  "alias bg case disown do eval fg for function hash if jobs local read return select shift shopt time trap type until wait while { ( [[ (( ! &&".split(
    " ",
  ),
);

const SCRIPT = "use sh -c '...' for what needs a shell";

/** The way out where `word`, the first one of a command that was not found, is the shell's; undefined where it is none. */
export function withoutShell(word: string): string | undefined {
  if (/^[A-Za-z_]\w*\+?=/.test(word))
    return `NAME=value before a command is shell syntax: put env before it, hupwatch -- env ${word} COMMAND`;
  if (Object.hasOwn(INSTEAD, word)) return `'${word}' is built into the shell: ${INSTEAD[word]}`;
  if (KEYWORDS.has(word)) return `'${word}' is the shell's own word: ${SCRIPT}`;
  if (word.startsWith("~")) return "only a shell replaces '~' by a home directory: write the whole path";
  if (/\$\{?[A-Za-z_]/.test(word)) return `only a shell replaces variables: write the value, or ${SCRIPT}`;
  // In a unit, a container's file or an array of words it was one string.
  if (/\s/.test(word.trim()))
    return `it is one word that contains spaces: if it is a command line, remove the quotes around it; ${SCRIPT}`;
  return undefined;
}
