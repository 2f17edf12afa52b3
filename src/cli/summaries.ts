/** The sub-commands in the order the help shows them, each with its one line. */
export const SUMMARIES = {
  run: "wrap a command and swap it on SIGHUP (the default)",
  reload: "swap a running hupwatch's command, wait, exit by the outcome",
  status: "show what runs: generations, sockets, last swaps",
  stop: "stop a running hupwatch and its command gracefully",
  confirm: "accept the new generation as good (--confirm)",
  rollback: "give the clients back to the previous generation (--confirm, --keep)",
  hold: "let new connections wait for the next generation",
  resume: "end a hold: a fresh copy gets the connections",
  explain: "say what a run would start, hold and check, and why; run nothing",
  load: "load an HTTP server and never try a request twice, Unix sockets first",
  verify: "prove that swaps drop nothing: load, swap many times, judge, report",
  demo: "watch a small server be replaced under load, then the naive way",
  complete: "print a completion script for bash, zsh or fish",
} as const;

export type CommandName = keyof typeof SUMMARIES;

export const isCommandName = (word: string | undefined): word is CommandName =>
  word !== undefined && Object.hasOwn(SUMMARIES, word);
