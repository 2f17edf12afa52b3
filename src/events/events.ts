/**
 * The one vocabulary of what happens: a log line (`--log-format json`), an event of `GET /events` and the facts of a
 * hook are the same record. Names are stable; a name is never given another meaning. The table is the documentation:
 * src/control/README.md repeats it, and a test compares the two with what the code says.
 */
export type Level = "error" | "warn" | "notice" | "info" | "debug";

export type Facts = Record<string, string | number | boolean | readonly (string | number)[] | undefined>;

export interface EventDescription {
  meaning: string;
  /** Further fields of the record, besides time, level, event, pid and message. */
  facts: readonly string[];
}

const FAILURE = ["reason", "exitCode", "exitSignal", "stderr"];

/** What the life of the service consists of: in the log, in `GET /events`, and for hooks. */
export const EVENTS = {
  "run.plan": { meaning: "hupwatch starts, and which server it has recognised", facts: ["name", "server"] },
  "socket.held": { meaning: "a socket is held", facts: ["address", "cutover"] },
  "socket.learned": {
    meaning: "an address that the command line does not name is held",
    facts: ["address", "generation"],
  },
  "socket.released": { meaning: "a learned address is no longer held", facts: ["address"] },
  "socket.restored": { meaning: "a public path led nowhere, and was put back", facts: ["path"] },
  "socket.taken-back": {
    meaning: "a generation's own process had bound a public path, and it was put back",
    facts: ["path", "by"],
  },
  "socket.taken": {
    meaning: "clients do not reach a public path, and why; the path is put back when that ends",
    facts: ["path", "reason"],
  },
  "socket.linked": {
    meaning:
      "a hard link or a mount of a public path's file: clients there stay with the generation whose file it is",
    facts: ["path", "reason"],
  },
  "socket.renewed": {
    meaning: "the names of a listener were removed with their directory: clients wait for a new generation",
    facts: ["path"],
  },
  "socket.none": { meaning: "no socket is held: connections are not swapped", facts: [] },
  "generation.started": { meaning: "a generation's command runs", facts: ["generation", "child"] },
  "generation.preflight": {
    meaning: "a --preflight line succeeded",
    facts: ["generation", "command", "durationMs"],
  },
  "generation.ready": {
    meaning: "it passed its readiness checks",
    facts: ["generation", "readyMs", "proven", "doubt", "socket"],
  },
  "generation.serves": {
    meaning: "the first generation, or one after a crash, serves",
    facts: ["generation", "unproven", "doubt"],
  },
  "generation.proven": {
    meaning: "it was ready without listening anywhere, and accepts now",
    facts: ["generation", "readyMs", "addresses"],
  },
  "generation.taken-over": { meaning: "a survivor of an earlier hupwatch serves", facts: ["generation"] },
  "generation.not-taken-over": {
    meaning: "another survivor of an earlier hupwatch is stopped, since only one can have the clients",
    facts: ["generation", "left", "instead"],
  },
  "generation.unheld": {
    meaning: "it listens on addresses that are not held, where a second copy cannot listen",
    facts: ["generation", "addresses", "pids"],
  },
  "generation.address-lost": {
    meaning: "it does not listen where the one before it did",
    facts: ["generation", "before", "addresses"],
  },
  "generation.crashed": {
    meaning: "the serving generation died by itself",
    facts: ["generation", ...FAILURE],
  },
  "generation.died": {
    meaning: "a generation that was being replaced died by itself",
    facts: ["generation", ...FAILURE],
  },
  "generation.unkept": {
    meaning: "it is not kept for a rollback any more, and retires",
    facts: ["generation"],
  },
  "generation.hurried": {
    meaning: "it is killed, because more generations drain at once than --max-draining allows",
    facts: ["generation", "maxDraining"],
  },
  "generation.cut": {
    meaning: "a stop signal ended it at once, with clients' connections open: it has no handler for it",
    facts: ["generation", "signal"],
  },
  "generation.start-failed": {
    meaning: "a generation did not come up, and no other one serves",
    facts: ["generation", ...FAILURE],
  },
  "generation.unreachable": {
    meaning: "clients could not be sent to the only generation that runs",
    facts: ["generation", ...FAILURE],
  },
  "generation.waiting": {
    meaning: "it is not ready yet, and what stands in its way",
    facts: ["generation", "ageMs", "obstacle"],
  },
  "generation.given-up": {
    meaning: "it was not ready in time, and a HUP requested a fresh copy",
    facts: ["generation", "ageMs"],
  },
  "generation.respawning": {
    meaning: "another generation takes the place of a dead one",
    facts: ["generation", "afterMs"],
  },
  "generation.signalled": {
    meaning: "a generation was sent a signal",
    facts: ["generation", "signal", "pids", "why"],
  },
  "generation.rescued": {
    meaning: "clients of a dead generation were passed on",
    facts: ["generation", "connections"],
  },
  "generation.kept": {
    meaning: "how many connections of its clients live on, and how many were closed as it wanted",
    facts: ["generation", "kept", "closed"],
  },
  "generation.left-behind": { meaning: "processes of it did not end", facts: ["generation", "pids"] },
  "generation.escaped": {
    meaning: "processes that left its tree, or the tree of a generation beside it, live on",
    facts: ["generation", "pids"],
  },
  "generation.gone": { meaning: "its whole process tree has ended", facts: ["generation", "ageMs"] },
  "swap.due": {
    meaning: "age, memory or a touched file lead to a swap (--max-age, --max-memory, --watch-path)",
    facts: ["reason"],
  },
  "swap.queued": { meaning: "a swap was requested during another one", facts: ["behind", "times"] },
  "hold.began": { meaning: "new connections wait for the next generation", facts: ["forMs"] },
  "hold.failed": { meaning: "new connections could not be held and are served as before", facts: FAILURE },
  "hold.filling": {
    meaning: "the queue of connections that wait is four fifths full",
    facts: ["address", "queued", "limit"],
  },
  "hold.ended": {
    meaning: "a generation is started and gets the connections that wait, and why",
    facts: ["generation", "why"],
  },
  "swap.unconfirmed": {
    meaning: "a new generation has the clients, and waits for hupwatch confirm or rollback",
    facts: ["generation", "kept", "forMs", "durationMs", "socket"],
  },
  "swap.done": {
    meaning: "a new generation serves, and the old one retires, after keptMs if it is kept",
    facts: ["generation", "retired", "keptMs", "durationMs", "socket", "unproven", "doubt"],
  },
  "swap.rolled-back": {
    meaning: "the new generation failed, and the old one goes on",
    facts: ["generation", "serving", "hadClients", "durationMs", ...FAILURE],
  },
  "memory.short": {
    meaning: "memory was short, and the kernel killed processes during a swap",
    facts: ["generation", "kills", "where"],
  },
  stopping: { meaning: "the generations are being stopped", facts: ["generations"] },
  ignored: { meaning: "a request could not be carried out, and why", facts: ["what", "why", "times"] },
  "hook.failed": {
    meaning: "a hook failed, took too long or could not be run",
    facts: ["hook", "command", "reason"],
  },
  left: { meaning: "hupwatch ends, and the service goes on", facts: ["generation", "child"] },
  stopped: { meaning: "hupwatch ends, and nothing of the service is left", facts: FAILURE },
} as const satisfies Record<string, EventDescription>;

/** What only the log says: warnings about the surroundings, not about the life of the service. */
export const WARNINGS: Record<string, string> = {
  "server.note": "something about the command that the user should know",
  "env-file.skipped": "some lines of the env file are not NAME=value",
  "env-file.doubtful": "systemd, docker and dotenv do not read some lines of the env file alike",
  "kill-at-exit.weak": "-k cannot hold here if hupwatch itself is killed",
  "run-dir.made": "the run directory that was given is below one that did not exist",
  "run-dir.unusable": "the run directory cannot be used: no control socket, no state file",
  "instance.renamed": "a service that a hupwatch of another name left at the same address is taken over",
  "address.dropped": "a service that is taken over has more addresses than the command line names",
  "state.unreadable": "the state file cannot be understood: the generations in it cannot be taken over",
  "state.unwritable": "the state file cannot be written: a takeover may not find every generation",
  "control.unavailable": "the control socket cannot be opened",
  "socket.unlearned": "an address where the command listens cannot be held",
  "intercept.trouble": "the keeper was killed and replaced, or a trapped call failed",
  "run-dir.restored": "the run directory was removed or emptied, and its files were made anew",
  "aid.lacking": "hupwatch has to do without something, and what that costs",
  bug: "an error in hupwatch itself, after which it went on",
  "bug.stack": "where that error was",
  "log.dropped": "the reader of stderr hung, and lines of the log were dropped",
  "terminal.gone": "the terminal was hung up, which is not a deploy",
  signal: "a signal was received",
  "stop.delayed": "TERM was received, and the service goes on accepting for --stop-delay",
  "signal.nohup": "SIGHUP was ignored by the starter, and stays ignored",
};

export type EventName = keyof typeof EVENTS;

/** An event in words. */
export interface Told {
  event: EventName;
  level: Level;
  /** One sentence for people. */
  text: string;
  facts: Facts;
}

/** An event as JSON has it, in the log and in `GET /events`. */
export interface EventRecord extends Facts {
  /** ISO 8601, UTC, milliseconds. */
  time: string;
  level: Level;
  event: EventName;
  /** hupwatch's own. */
  pid: number;
  message: string;
}

export const recordOf = ({ event, level, text, facts }: Told, pid: number): EventRecord => ({
  time: new Date().toISOString(),
  level,
  event,
  pid,
  message: text,
  ...facts,
});
