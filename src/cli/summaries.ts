/** The sub-commands in the order the help shows them, each with its one line. */
export const SUMMARIES = {
  run: "wrap a command and swap it on SIGHUP (the default)",
  reload: "swap a running one, wait, exit by the outcome",
  status: "show what runs: generations, sockets, last swaps",
  stop: "stop a running one and its command gracefully",
  confirm: "take a new generation as good (--confirm)",
  rollback: "give the clients back to the generation before (--confirm, --keep)",
  hold: "let new connections wait for the next generation",
  resume: "end that: a fresh copy gets them",
  explain: "say what a run would start, hold and check, and why; run nothing",
  load: "drive an HTTP server with honest load, Unix sockets first",
  verify: "prove that swaps drop nothing: load, swap many times, judge, report",
  demo: "replace a small server under load before your eyes, then the naive way",
  complete: "print a completion script for bash, zsh or fish",
} as const;

export type CommandName = keyof typeof SUMMARIES;

export const isCommandName = (word: string | undefined): word is CommandName =>
  word !== undefined && Object.hasOwn(SUMMARIES, word);
