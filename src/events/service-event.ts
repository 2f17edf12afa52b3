/**
 * What happens in the life of the service, each event with its facts. An event is told once, where its facts are known. The
 * log, hooks, systemd, the history and whatever waits for an outcome consume it, and look nothing up a second time.
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
  /** Its last lines on stderr. The array may still grow by late lines. */
  stderr?: readonly string[];
  /** It ended before it was told to, or by a signal that hupwatch did not send. */
  isUnasked?: boolean;
  /** hupwatch's own exit code if nothing better is known (a failed first generation). */
  exitCode?: number;
}

/** A process that goes on, and its name. */
export interface Leftover {
  pid: number;
  command: string;
  /** The addresses of the service whose listeners it has open. */
  listeners?: readonly string[];
}

/**
 * Why nothing shows that a generation serves. `shared`: its listeners are shared, and another generation may have answered. `nowhere`: it came
 * to rest and was not seen to listen; it may be a worker, or a server that begins to listen only later.
 */
export type Doubt = "shared" | "nowhere";

/** In which role an earlier hupwatch left a generation when it ended. */
export type LeftAs = "serving" | "unfinished" | "unconfirmed" | "in reserve" | "draining";

/** A generation's age, and its age when it was ready; whole milliseconds since its start. */
interface Age {
  ageMs: number;
  readyMs: number | undefined;
}

/** For hooks: a Unix path at which only this generation answers. */
interface Way {
  socket?: string | undefined;
}

export type ServiceEvent =
  | { event: "run.plan"; name: string; server: string }
  | { event: "socket.held"; address: string; cutover: Cutover }
  /** `learns`: if the command listens later, its address is held from then on. */
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
  /** `unasked`: no check was requested, and so there is no time at which one passed. */
  | ({
      event: "generation.ready";
      generation: Gen;
      readyMs: number | undefined;
      doubt?: Doubt | "unasked" | undefined;
    } & Way)
  | ({ event: "generation.serves"; generation: Gen; doubt?: Doubt | undefined } & Age)
  /** It was ready without having listened anywhere, and accepts now. */
  | { event: "generation.proven"; generation: Gen; readyMs: number; addresses: readonly string[] }
  | { event: "generation.taken-over"; generation: Gen }
  /** `left`: its role below the earlier hupwatch. `instead`: the generation that is taken over; undefined if none can be. */
  | { event: "generation.not-taken-over"; generation: Gen; left: LeftAs; instead: Gen | undefined }
  /** It listens there by itself, and so a second copy cannot. */
  | { event: "generation.unheld"; generation: Gen; unheld: readonly { address: string; pid: number }[] }
  /** The previous generation listened there, and it does not. */
  | { event: "generation.address-lost"; generation: Gen; before: Gen; addresses: readonly string[] }
  | { event: "generation.crashed"; generation: Gen; failure: Failure }
  /** A generation that was being replaced ended by itself. */
  | { event: "generation.died"; generation: Gen; failure: Failure }
  /** It was kept after a swap, and retires now. */
  | { event: "generation.unkept"; generation: Gen }
  /** It is killed because too many drain at once. */
  | { event: "generation.hurried"; generation: Gen; maxDraining: number }
  /** A stop signal ended it at once, although it had connections. */
  | { event: "generation.cut"; generation: Gen; signal: string }
  | { event: "generation.start-failed"; generation: Gen; failure: Failure }
  /** It serves, but clients could not be sent (back) to it. */
  | { event: "generation.unreachable"; generation: Gen; failure: Failure }
  /** It has not been ready for this long, and what it waits for. */
  | { event: "generation.waiting"; generation: Gen; ageMs: number; obstacle: string }
  /** It was not ready in time, and a HUP requested a fresh copy. */
  | { event: "generation.given-up"; generation: Gen; ageMs: number }
  | { event: "generation.respawning"; generation: Gen; afterMs: number }
  /** `why`: set if the signal is not part of an ordinary stop. */
  | {
      event: "generation.signalled";
      generation: Gen;
      signal: string;
      pids: number[];
      why?: string | undefined;
    }
  /** How many connections were taken out of a dead generation's queue and passed on. */
  | { event: "generation.rescued"; generation: Gen; connections: number }
  /** How many connections of its clients live on, and how many were closed as it wanted. */
  | { event: "generation.kept"; generation: Gen; kept: number; closed: number }
  | { event: "generation.left-behind"; generation: Gen; processes: readonly Leftover[] }
  /** They belong to no generation; they became children of hupwatch, the subreaper, while this one ran. */
  | { event: "generation.escaped"; generation: Gen; processes: readonly Leftover[] }
  | { event: "generation.gone"; generation: Gen; ageMs: number }
  /** A swap that no user requested. */
  | { event: "swap.due"; why: string }
  | { event: "swap.queued"; behind: Gen }
  /** New connections wait for the next generation, for `forMs` at most. */
  | { event: "hold.began"; forMs: number }
  | { event: "hold.failed"; failure: Failure }
  /** `queued` connections wait there, and at most `limit` can. */
  | { event: "hold.filling"; address: string; queued: number; limit: number }
  | { event: "hold.ended"; generation: Gen; why: "reload" | "request" | "deadline" }
  /** It has the clients. For `forMs` the previous generation is kept as it is, and the user decides which of them remains. */
  | ({ event: "swap.unconfirmed"; generation: Gen; kept: Gen; forMs: number } & Age & Way)
  /** `doubt`: undefined if proven, or if the user asks for less. `keptMs`: for how long the old one can have the clients back before it retires. */
  | ({
      event: "swap.done";
      generation: Gen;
      retired: Gen;
      doubt?: Doubt | undefined;
      keptMs?: number | undefined;
    } & Age &
      Way)
  /** `hadClients`: clients went to it until then. */
  | ({
      event: "swap.rolled-back";
      generation: Gen;
      serving: Gen;
      failure: Failure;
      hadClients: boolean;
    } & Age)
  /** How many processes the kernel has killed, because memory was short, since the swap to `generation` began. */
  | { event: "memory.short"; generation: Gen; kills: number; where: OomKills["where"] }
  | { event: "stopping"; generations: Gen[] }
  | { event: "ignored"; what: string; why: string }
  | { event: "hook.failed"; hook: string; command: string; reason: string }
  /** `leader`: of the generation that goes on, with the signal that would stop it. */
  | { event: "left"; generation: Gen; leader: { pid: number; stopSignal: NodeJS.Signals } | undefined }
  | { event: "stopped"; failure: Failure | undefined };

export type Of<E extends ServiceEvent["event"]> = Extract<ServiceEvent, { event: E }>;

/** Where what happens is told. */
export type Tell = (event: ServiceEvent) => void;
