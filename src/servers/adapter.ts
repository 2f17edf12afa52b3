/**
 * What hupwatch must know of a server, as data. An adapter recognises a command and reads from its command line and
 * environment what the server would do by itself. It may read the server's configuration, and run its interpreter or
 * a runner in front of it (uv run) for that, but it starts no server and changes nothing.
 *
 * A new server touches four places: a file in adapters/, adapters.ts, a row in test/servers/contract.test.ts (its words), and a row
 * in test/setup/servers.ts (the real thing: what is installed, run and measured). The tables come from these.
 */
import type { Account } from "../os/setpriv.ts";
import type { SocketSpec } from "../sockets/spec.ts";

export interface CommandLine {
  words: readonly string[];
  /** What the command will have. */
  env: Readonly<Record<string, string>>;
  /** Where the command will start. */
  directory: string;
  /** The user that it will run as: what has to be read from one of its programs, is read as that user. Left out: our own. */
  account?: Account & { umask?: number | undefined };
  /** For explain: "confined" if programs that are run to read the command cannot write, "blind" if none is run. Left out: a start. */
  look?: "confined" | "blind" | undefined;
  /** Collects, in words, each program that is run to read the command. */
  ran?: string[];
  /** Collects what explain cannot find out. */
  unknown?: string[];
}

/** Words and variables that a generation gets; both may hold the placeholders of `sockets/handover.ts`. */
export interface Handed {
  words: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** Something to know of a server that needs no action. */
export interface Quirk {
  what: string;
  /** Source, documentation or issue. */
  link: string;
  /** It matters where a descriptor or a path is handed over, and not where the program's own bind is intercepted. */
  ofHandover?: true;
}

/** By name or number; what is left out stays as it is. */
export interface SocketOwner {
  user?: string | undefined;
  group?: string | undefined;
}

/** Where that is not the umask's business. */
export interface SocketRights {
  mode?: number | undefined;
  owner?: SocketOwner | undefined;
}

/** How it gets the sockets that hupwatch holds. */
export type Dialect =
  /** Its own bind is trapped. `besides`: it gets LISTEN_FDS, too, and only these if its bind cannot be trapped; only the program knows whether it takes them. */
  | { by: "intercept"; besides?: "systemd" }
  /** LISTEN_FDS, words with a descriptor's number, or a path of its own. */
  | {
      by: "systemd" | "argv" | "path";
      /** The words and variables by which it takes these sockets; left out: its words as they are. Throws HupwatchError. */
      take?(sockets: readonly SocketSpec[]): Handed;
      /** It would serve one more descriptor beside these, a Unix socket. Left out: it would not. */
      takesExtra?(sockets: readonly SocketSpec[]): boolean;
      /** Why generations of it cannot share a Unix socket. */
      keepsUnixToItself?: string;
      /** It polls its sockets without making them non-blocking, as if its starter had. */
      nonblocking?: boolean;
    };

export interface Pidfile {
  /** Absolute: the configured one. Its readers must find hupwatch, the process that stays. */
  path: string;
  /** Absolute, with `{gen}`: where generations write instead, if it is hupwatch that has chosen the name. */
  ofGeneration?: string;
}

/** Long options, as the words have them. */
export interface ReleasePaths {
  /** Of a directory, relative to where the command starts. */
  directories: readonly string[];
  /** Of paths, with commas between them; what is relative may be so to one of those directories, and stays. */
  lists?: readonly string[];
}

/** What it does to the sockets that it binds. */
export interface SocketMaking extends SocketRights {
  /** To single ones of `binds`. */
  of?: Readonly<Record<string, SocketRights>>;
  /** Those of IPv6 leave IPv4 alone (IPV6_V6ONLY), whatever else it binds. */
  ipv6Only?: boolean;
}

/** How it is stopped. */
export interface Stopping {
  /** As `--stop-signal` has it. */
  sequence: string;
  /** How long the server itself lets requests run after that signal, in words. */
  drain: string;
  /** Its runtime has a handler for each stop signal (signal(7)), whether the program has one or not. */
  hidesHandlers?: boolean;
}

/** As `notes`, but where they do not always hold. */
export interface NotesWhere {
  /** Its own bind is not seen (no interception). */
  unseen?: readonly string[];
  /** It would bind nothing that is known, and --bind gives nothing either. */
  unbound?: readonly string[];
}

export interface ServerTraits {
  /** What it is and by what it was recognised. */
  server: string;
  /** What had to be run to read the command, in words; most often nothing. */
  ran?: string;
  /** The addresses that it would bind by itself, as `--bind` SPECs. Empty: none are known. */
  binds: readonly string[];
  /** Why `binds` may be incomplete: the server computes them, and could not be run to print them. Without a --bind that is refused. */
  unknownBinds?: string;
  sockets?: SocketMaking;
  handover: Dialect;
  /** Its readiness check if the user requests none. */
  ready: "http" | "connect";
  stop: Stopping;
  /** The words to run instead of the given ones. */
  words: readonly string[];
  pidfile?: Pidfile;
  quirks: readonly Quirk[];
  /** What the user should know and do: one sentence each, with the way out. */
  notes: readonly string[];
  /** Its options that name directories which a deploy may switch: each generation keeps what they lead to at its start. */
  releasePaths?: ReleasePaths;
  notesWhere?: NotesWhere;
  /** Configuration that it reads where no word names it, relative to where it starts. */
  configFiles?: readonly string[];
}

/** A row of the table in README.md, in Markdown. */
export interface Shown {
  server: string;
  /** How it takes its sockets. */
  takes: string;
  /** The signal that stops it, and what else belongs to that. */
  stopped: string;
}

export interface ServerAdapter {
  name: string;
  shown: readonly Shown[];
  /** Undefined where this is another server's command. Throws HupwatchError where the server's own words are wrong. */
  read(command: CommandLine): ServerTraits | undefined;
}
