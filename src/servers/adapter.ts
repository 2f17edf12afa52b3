/**
 * What hupwatch has to know of a server, as data. An adapter recognises a command and reads from its words and
 * environment what the server would do by itself; it starts nothing and changes nothing.
 *
 * A new server is a file beside this one, a line in `adapters.ts`, and a row in the contract suite.
 */
import type { Handover } from "../sockets/handover.ts";

export interface CommandLine {
  words: readonly string[];
  env: Readonly<Record<string, string>>;
  /** Where the command will start. */
  directory: string;
}

export interface ServerTraits {
  /** What it is and by what it was recognised. */
  server: string;
  /** The addresses that it would bind by itself, as `--bind` SPECs. Empty: none are known. */
  binds: readonly string[];
  handover: Handover;
  /** It serves every descriptor it is given, however many: then one more can prove who answers. */
  takesExtraListener: boolean;
  /** The readiness check, as `--ready` has it. */
  ready: string;
  /** As `--stop-signal` has it. */
  stop: string;
  /** The words to run instead of the given ones. */
  words: readonly string[];
  /** What the server does to the Unix sockets it binds, where that is not the umask's business. */
  socketMode?: number;
  socketOwner?: string;
  /** What the user should know: one sentence each, with the way out. */
  notes: readonly string[];
}

export interface ServerAdapter {
  name: string;
  /** Undefined where this is another server's command. Throws HupwatchError where the server's own words are wrong. */
  read(command: CommandLine): ServerTraits | undefined;
}
