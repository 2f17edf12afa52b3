/**
 * What happens in the life of the service, each event with its facts: told once, by the one that knows them, and consumed by
 * the log, hooks, systemd, the history and those that wait for an outcome. Nothing is looked up a second time.
 */
import type { OomKills } from "../os/oom.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { Cutover } from "../sockets/held.ts";

/** The number of a generation, from 1. */
export type Gen = number;

export interface Failure {
  /** One sentence: which check, which exit code, which limit. */
  reason: string;
  exit?: ExitStatus;
  /** The last lines it wrote on stderr; may still grow by what was under way. */
  stderr?: readonly string[];
  /** It ended before it was told to, or by a signal that hupwatch did not send. */
  isUnasked?: boolean;
  /** Exit code of hupwatch where this was the first generation and it is all that is known. */
  exitCode?: number;
}

/** A process that goes on, and what it is called. */
export interface Leftover {
  pid: number;
  command: string;
  /** Addresses of the service, a listener of which it has open. */
  listeners?: readonly string[];
}

/**
 * Why nothing shows that a generation serves: its listeners are shared, and another one may have answered; or it came to rest and was not seen to
 * listen anywhere: a worker, or a server that begins to listen only later.
 */
export type Doubt = "shared" | "nowhere";

/** What an earlier hupwatch had a generation for when it ended. */
export type LeftAs = "serving" | "unfinished" | "unconfirmed" | "in reserve" | "draining";

/** How old a generation is, and after how long it was ready; whole milliseconds since its start. */
interface Age {
  ageMs: number;
  readyMs: number | undefined;
}

/** Where only this generation answers, beside a Unix path: for hooks. */
interface Way {
  socket?: string | undefined;
}

export type ServiceEvent =
  | { event: "run.plan"; name: string; server: string }
  | { event: "socket.held"; address: string; cutover: Cutover }
  /** `learns`: where the command listens later is held from then on. */
  | { event: "socket.none"; learns: boolean }
  | { event: "socket.learned"; address: string; generation: Gen }
  | { event: "socket.released"; address: string }
  /** What has become of its public Unix path. */
  | { event: "socket.restored"; path: string; after?: string }
  | { event: "socket.taken-back"; path: string; pid: number }
  | { event: "socket.taken"; path: string; by: string }
  | { event: "socket.linked"; path: string; by: string }
  | { event: "socket.renewed"; path: string }
  | { event: "generation.started"; generation: Gen; pid: number }
  | { event: "generation.preflight"; generation: Gen; command: string; tookMs: number }
  | ({ event: "generation.ready"; generation: Gen; readyMs: number; doubt?: Doubt | undefined } & Way)
  | ({ event: "generation.serves"; generation: Gen; doubt?: Doubt | undefined } & Age)
  /** It was ready without having listened anywhere, and accepts now. */
  | { event: "generation.proven"; generation: Gen; readyMs: number; addresses: readonly string[] }
  | { event: "generation.taken-over"; generation: Gen }
  /** `left`: what an earlier hupwatch had it for. `instead`: the one that is taken over; undefined where none can be. */
  | { event: "generation.not-taken-over"; generation: Gen; left: LeftAs; instead: Gen | undefined }
  /** It listens there by itself: a second copy cannot. */
  | { event: "generation.unheld"; generation: Gen; unheld: readonly { address: string; pid: number }[] }
  /** The one before it listened there, and it does not. */
  | { event: "generation.address-lost"; generation: Gen; before: Gen; addresses: readonly string[] }
  | { event: "generation.crashed"; generation: Gen; failure: Failure }
  /** One that was being replaced ended by itself. */
  | { event: "generation.died"; generation: Gen; failure: Failure }
  /** It is killed because more of them drain at once than may. */
  | { event: "generation.hurried"; generation: Gen; maxDraining: number }
  /** A stop signal ended it at once, although its clients were not done. */
  | { event: "generation.cut"; generation: Gen; signal: string }
  | { event: "generation.start-failed"; generation: Gen; failure: Failure }
  /** It serves, but clients could not be sent (back) to it. */
  | { event: "generation.unreachable"; generation: Gen; failure: Failure }
  /** Not ready yet, for so long, and what stands in its way. */
  | { event: "generation.waiting"; generation: Gen; ageMs: number; obstacle: string }
  /** Not ready in its time, and a HUP asked for a fresh copy. */
  | { event: "generation.given-up"; generation: Gen; ageMs: number }
  | { event: "generation.respawning"; generation: Gen; afterMs: number }
  /** `why`: of one that is not part of an ordinary stop. */
  | {
      event: "generation.signalled";
      generation: Gen;
      signal: string;
      pids: number[];
      why?: string | undefined;
    }
  /** So many connections were taken out of a dead generation's queue and passed on. */
  | { event: "generation.rescued"; generation: Gen; connections: number }
  /** So many connections of its clients live on, and so many were closed as it meant. */
  | { event: "generation.kept"; generation: Gen; kept: number; closed: number }
  | { event: "generation.left-behind"; generation: Gen; processes: readonly Leftover[] }
  /** They belong to no generation; they came to hupwatch while this one ran. */
  | { event: "generation.escaped"; generation: Gen; processes: readonly Leftover[] }
  | { event: "generation.gone"; generation: Gen; ageMs: number }
  /** Nobody has asked for it by hand. */
  | { event: "swap.due"; why: string }
  | { event: "swap.queued"; behind: Gen }
  /** New connections wait, so long at most, for the next generation. */
  | { event: "hold.began"; forMs: number }
  | { event: "hold.failed"; failure: Failure }
  /** So many wait there, of so many that can. */
  | { event: "hold.filling"; address: string; queued: number; limit: number }
  | { event: "hold.ended"; generation: Gen; why: "reload" | "request" | "deadline" }
  /** It has the clients, and so long the generation before is kept as it is: the user says which of them remains. */
  | ({ event: "swap.unconfirmed"; generation: Gen; kept: Gen; forMs: number } & Age & Way)
  /** `doubt`: none where the user asked for less. `keptMs`: so long the old one can have the clients back before it retires. */
  | ({
      event: "swap.done";
      generation: Gen;
      retired: Gen;
      doubt?: Doubt | undefined;
      keptMs?: number | undefined;
    } & Age &
      Way)
  | ({ event: "swap.rolled-back"; generation: Gen; serving: Gen; failure: Failure } & Age)
  /** The kernel has killed so many processes for want of memory since the swap to `generation` began. */
  | { event: "memory.short"; generation: Gen; kills: number; where: OomKills["where"] }
  | { event: "stopping"; generations: Gen[] }
  | { event: "ignored"; what: string; why: string }
  | { event: "hook.failed"; hook: string; command: string; reason: string }
  /** `leader`: that of the generation that goes on, and the signal that would stop it. */
  | { event: "left"; generation: Gen; leader: { pid: number; stopSignal: NodeJS.Signals } | undefined }
  | { event: "stopped"; failure: Failure | undefined };

export type Of<E extends ServiceEvent["event"]> = Extract<ServiceEvent, { event: E }>;

/** Where what happens is told. */
export type Tell = (event: ServiceEvent) => void;
