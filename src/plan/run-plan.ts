/** Everything a run needs to know, decided once at the start. The swap reads it; only cli/ and servers/ write it. */

import type { Check } from "../ready/check.ts";
import type { ReleasePaths } from "../servers/adapter.ts";
import type { Handover } from "../sockets/handover.ts";
import type { SocketOptions } from "../sockets/held.ts";
import type { SocketSpec } from "../sockets/spec.ts";
import type { KeptConnections } from "./kept-connections.ts";
import type { StopStep } from "./stop-sequence.ts";

/** Nothing is held from the start: the addresses are those where the first generation listens. */
export const learns = ({ handover, sockets }: Pick<RunPlan, "handover" | "sockets">): boolean =>
  handover === "intercept" && sockets.length === 0;

export interface RunPlan {
  /** What people and the run dir call this instance. */
  name: string;
  /** The command's words, as its server takes sockets; placeholders are filled for each generation. */
  words: readonly string[];
  /** Of these words, those that lead to a release. */
  releasePaths: ReleasePaths;
  /** Configuration that it reads unasked, relative to its directory. */
  configFiles: readonly string[];
  /** What the server takes its sockets by besides words; placeholders are filled for each generation. */
  serverEnvironment: Readonly<Record<string, string>>;
  /** Absolute, and logical: symlinks in it are followed anew by every generation. */
  directory: string;
  /** For the command alone; hupwatch binds before. */
  user: string | undefined;
  group: string | undefined;
  umask: number | undefined;
  /** Without hupwatch's own variables. */
  environment: Record<string, string>;
  /** Read anew for every generation. */
  envFile: string | undefined;
  sockets: readonly SocketSpec[];
  socketOptions: SocketOptions;
  cutover: "steer" | "share";
  handover: Handover;
  /** With interception LISTEN_FDS is passed, too, for a command that does not bind. */
  passesBesides: boolean;
  /** --handover intercept was given: the user says that the command listens. */
  isInterceptionRequested: boolean;
  /** Why interception, which would be the default, is not possible here. */
  unintercepted: string | undefined;
  /** --handover none was given: the user takes care of what the command binds by itself. */
  isHandoverRefused: boolean;
  checks: readonly Check[];
  /** Shell lines that have to succeed before a generation is started. */
  preflights: readonly string[];
  /** Keep the last lines of stderr for the reason of a failure. */
  watchStderr: boolean;
  /** A name made by hupwatch, with `{gen}`: a file that a dead generation leaves there is removed. */
  generationPidfile: string | undefined;
  /** A private directory for sockets of the generations' own; undefined where there is none. */
  runDir: string | undefined;
  /** Listeners are made non-blocking for the server; most do that themselves, and some want them blocking. */
  nonblocking: boolean;
  /** Every generation gets one listener more, its own: where the others are shared, an answer there is a proof. */
  extraListener: boolean;
  readyTimeoutMs: number;
  /** --ready-timeout was given: a deadline for the first generation, too. */
  isReadyTimeoutGiven: boolean;
  /** --ready was given: there are no other checks. */
  isReadinessGiven: boolean;
  /** Both serve for so long; at least the settle time, where there is a socket to settle. */
  warmupMs: number;
  /** For how long a replaced generation gets no stop signal while it has connections; 0 does not wait. */
  drainUntilIdleMs: number;
  stopSequence: readonly StopStep[];
  /** That the command has a handler for it the process table says of any. */
  hidesHandlers: boolean;
  /** With killAtExit: between the TERM and the stop all goes on for so long. */
  stopDelayMs: number;
  maxDraining: number;
  /** Undefined: hupwatch ends with the serving generation. */
  respawn: { times: number; withinMs: number } | undefined;
  /** A flip without `confirm` in this time is taken back; undefined: no confirm is needed. */
  confirmMs: number | undefined;
  /** A shell line that decides instead of the user. */
  judge: string | undefined;
  /** For how long after a swap the old one can have the clients back; undefined: it retires at once. */
  keepMs: number | undefined;
  /** What becomes of the connections that clients keep to a generation that is replaced. */
  keptConnections: KeptConnections;
  /** A generation that has served so long is swapped, or whose tree has so much memory, or when that file is touched. */
  maxAgeMs: number | undefined;
  maxMemoryBytes: number | undefined;
  watchPath: string | undefined;
  killAtExit: boolean;
}
