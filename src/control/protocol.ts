/**
 * What goes over the control socket: HTTP/1.1 over a Unix socket, JSON bodies. The server, the client and the README
 * share these types. Fields are only ever added; a change of meaning would be another number in `schema`.
 *
 *     GET  /status    StatusAnswer
 *     POST /reload    ReloadAnswer, when the swap has ended; with ?wait=0 at once (202)
 *     POST /confirm   SteerAnswer, at once; so do /rollback and /hold?ms=N
 *     POST /resume    ReloadAnswer, when the generation that gets the connections that wait serves
 *     POST /stop      StopAnswer, when the service has ended
 *     GET  /events    server-sent events, each an EventRecord (events.ts); with ?since=N those after number N first
 *     GET  /metrics   Prometheus' text format
 */

import type { Counts, SwapRecord } from "../events/history.ts";
import type { Doubt } from "../events/service-event.ts";
import type { FailureFacts } from "../events/words.ts";
import type { Role, StartedGeneration } from "../generation/record.ts";
import type { RelayCounts } from "../os/keeping.ts";
import type { Phase } from "../swap/machine.ts";

export interface GenerationStatus {
  number: number;
  /** 0 while it is about to be started. */
  pid: number;
  role: Role;
  /** ISO 8601; absent before it runs. */
  startedAt?: string | undefined;
  /** From its start until its checks had passed; absent while they have not. */
  readyMs?: number | undefined;
  /** False: another generation might have answered its checks. */
  proven?: boolean | undefined;
  /** What stands in the way of its readiness, once that takes long. */
  waitingFor?: string | undefined;
  /** When that ends by itself, of one that is kept or unconfirmed; ISO 8601. */
  until?: string | undefined;
  /** Clients' connections that it has accepted and still holds, idle ones included; while more than one generation lives. */
  connections?: number | undefined;
  /** The processes of its tree, and the memory they have resident together (shared pages counted in each). */
  processes: number;
  residentBytes: number;
}

export interface SocketStatus {
  name: string;
  /** `unix:/path`, `host:port`, `[v6]:port`. */
  address: string;
  cutover: "steer" | "share";
  /** Connections that have not been accepted yet, over all generations; absent where the kernel does not say. */
  queued?: number | undefined;
  /** Over TCP: tries to connect that the kernel dropped since that queue was full; clients try again. Of the listeners that are open now. */
  dropped?: number | undefined;
  /** As many can wait, while connections are held. */
  limit?: number | undefined;
  /** Why clients do not reach it; absent while they do. */
  trouble?: string | undefined;
}

export interface StatusAnswer {
  schema: "hupwatch-status/1";
  name: string;
  version: string;
  pid: number;
  phase: Phase;
  startedAt: string;
  directory: string;
  command: readonly string[];
  /** The server adapter's name. */
  server: string;
  generations: GenerationStatus[];
  sockets: SocketStatus[];
  /** The last ones, oldest first. */
  swaps: SwapRecord[];
  counts: Counts;
  /** What becomes of connections that clients keep to the old one, and why; absent where no socket is held. */
  kept?: string | undefined;
  /** Connections that live on without a generation; absent where they do not. */
  keptConnections?: RelayCounts | undefined;
  /** So long a swap waits for `confirm`; absent where none is asked for. */
  confirmMs?: number | undefined;
  /** When a hold ends by itself, ISO 8601; absent where none is under way. */
  heldUntil?: string | undefined;
}

/** In the list of `hupwatch status --json`, where no hupwatch lives that could answer: what one has left running. */
export interface LeftAnswer {
  schema: "hupwatch-status/1";
  name: string;
  pid: null;
  phase: "left";
  left: readonly StartedGeneration[];
}

export interface ReloadAnswer {
  schema: "hupwatch-reload/1";
  name: string;
  /**
   * `swapped`: a generation that started after the request serves. `rolled-back`: it failed, and the one before goes on.
   * `unproven`: nothing shows that it accepts, and `doubt` says why: the old one may have answered for it, or it listens nowhere. `ended`: hupwatch ended, or was already
   * about to, before that swap did. `asked`: the client did not want to wait. `unconfirmed`: no swap was requested, since the last one waits
   * for `confirm` or `rollback`. `not-held`: no connections wait, and there is nothing to resume.
   */
  outcome: "swapped" | "unproven" | "rolled-back" | "ended" | "asked" | "unconfirmed" | "not-held";
  /** The one that was started for this request; where it is only requested, at least this number. */
  generation: number;
  /** With `unproven`. */
  doubt?: Doubt | undefined;
  /** The generation that serves now. */
  serving?: number | undefined;
  readyMs?: number | undefined;
  durationMs?: number | undefined;
  failure?: FailureFacts | undefined;
}

export interface SteerAnswer {
  schema: "hupwatch-steer/1";
  name: string;
  /** `nothing`: there was nothing to do, and why. */
  outcome: "confirmed" | "rolled-back" | "held" | "nothing";
  /** The one that it was asked about. */
  generation?: number | undefined;
  /** The one that has the clients now. */
  serving?: number | undefined;
  /** With `held`: it was kept for a rollback until now. */
  unkept?: number | undefined;
  reason?: string | undefined;
}

export interface StopAnswer {
  schema: "hupwatch-stop/1";
  name: string;
  outcome: "stopped" | "left";
  failure?: FailureFacts | undefined;
}

/** With every status but 200 and 202. */
export interface ErrorAnswer {
  error: string;
}
