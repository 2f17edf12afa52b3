/**
 * The machine's types: the phases of a run, the events that can happen, the effects and reports that follow. Only types, for the
 * table (machine.ts), for the code that carries out its effects and for the code that reports them.
 */
import type { Failure, Gen } from "../events/service-event.ts";
import type { GenerationEvent, Retirement } from "../generation/posts.ts";
import type { ExitStatus } from "../os/spawn.ts";

export type { Failure, Gen, Retirement };

/** How hupwatch itself ends. */
export type Ending =
  /** Ordered: how the serving generation took it decides the exit code. */
  | { kind: "stopped"; serving: Gen; exit?: ExitStatus }
  /** The serving generation died by itself, or the first one never became ready. */
  | { kind: "failed"; failure: Failure }
  /** The service goes on without hupwatch. */
  | { kind: "left"; serving: Gen };

export interface Common {
  /** The highest number given to a generation so far. */
  last: Gen;
  /** Retired generations whose processes are not all gone yet, oldest first. */
  draining: Gen[];
  /** When the serving generation died by itself, oldest first, as far back as the respawn limit looks. */
  crashes: number[];
}

export type State = Common &
  (
    | {
        phase: "starting";
        next: Gen;
        again: boolean;
        /** It was not ready in the usual time: a HUP asks for a fresh copy then. */
        overdue: boolean;
        owed: readonly string[];
        fallen?: Fall;
      }
    | { phase: "serving"; current: Gen }
    /** New connections wait in the listeners of `next`, which is not started yet. */
    | { phase: "holding"; current: Gen; next: Gen }
    /** `isHeld`: clients wait in its listeners already. */
    | { phase: "booting"; current: Gen; next: Gen; again: boolean; owed: readonly string[]; isHeld: boolean }
    | {
        phase: "warming";
        current: Gen;
        next: Gen;
        again: boolean;
        owed: readonly string[];
        leaving: boolean;
        /** No `confirm` is asked for, or it has come already. */
        isConfirmed: boolean;
      }
    /**
     * Clients go to `next`, and `current` is as it was: it can have them back in one step. Until it is confirmed that is what becomes of
     * silence; afterwards it is what may still be asked for.
     */
    | { phase: "warm"; current: Gen; next: Gen; isConfirmed: boolean; again: boolean }
    /** `isHeld`: clients may wait in the listeners of `failed`. `leaving`: hupwatch ends once what waited for `failed`, which `isGone` or about to be, has been answered by `current`. */
    | {
        phase: "rolling-back";
        current: Gen;
        failed: Gen;
        again: boolean;
        isHeld: boolean;
        leaving?: GivingBack;
      }
    /** `current` has its clients back; `failed` lives, and what is on its way to it arrives. */
    | { phase: "flipping-back"; current: Gen; failed: Gen; again: boolean; leaving: boolean }
    | { phase: "stopping"; ending: Ending }
    | { phase: "over"; ending: Ending }
  );

/** TERM during a hold: how hupwatch ends once those that wait are served. */
export interface GivingBack {
  how: "leave" | "stop";
  isGone: boolean;
}

export type Phase = State["phase"];
export type In<P extends Phase> = Extract<State, { phase: P }>;

/** Why no generation serves although one did. */
export interface Fall {
  failure: Failure;
  /** `next` was started in its place, and another one may be if it fails, too. */
  respawned: boolean;
}

export type Event =
  | { kind: "swap" }
  /** New connections are to wait for the next generation, for `forMs` at most. */
  | { kind: "hold"; ms: number }
  /** They have waited long enough, and no new release has come. */
  | { kind: "resume"; why: "request" | "deadline" }
  /** Go and leave the service running (TERM, INT without -k). */
  | { kind: "leave" }
  /** Stop the service, then go (TERM, INT with -k). */
  | { kind: "stop" }
  /** Stop the service at once (QUIT). */
  | { kind: "quit" }
  | { kind: "forward"; signal: string }
  | GenerationEvent
  /** The time after a flip to `gen` is over, and the accept queue of the other one is empty. */
  | { kind: "settled"; gen: Gen }
  /** The user or the judge accepts it as good. */
  | { kind: "confirm"; gen: Gen }
  /** The user or the judge wants the previous one back. */
  | { kind: "rollback"; gen: Gen; failure: Failure }
  /** So long it could be confirmed, which is the `failure`; or the one before it was kept. */
  | { kind: "expired"; gen: Gen; failure: Failure };

export type EventKind = Event["kind"];
export type Of<K extends EventKind> = Extract<Event, { kind: K }>;
/** A generation's end by itself. */
export type Died = Pick<Of<"exited">, "failure" | "at">;

export type Report =
  | { event: "swap-queued"; behind: Gen }
  | { event: "holding"; gen: Gen; forMs: number }
  | { event: "hold-failed"; failure: Failure }
  | { event: "hold-ended"; gen: Gen; why: "reload" | "request" | "deadline" }
  | { event: "ready"; gen: Gen }
  | { event: "serving"; gen: Gen }
  | { event: "taken-over"; gen: Gen }
  /** It has the clients, and waits for `confirm`. */
  | { event: "unconfirmed"; gen: Gen; from: Gen; forMs: number }
  /** `keptMs`: so long the one before it can have the clients back. */
  | { event: "swapped"; gen: Gen; from: Gen; keptMs?: number }
  /** `hadClients`: it was flipped to, and they have been sent back. */
  | { event: "rolled-back"; gen: Gen; to: Gen; failure: Failure; hadClients: boolean }
  /** It was kept, and cannot have the clients back any more. */
  | { event: "unkept"; gen: Gen }
  | { event: "crashed"; gen: Gen; failure: Failure }
  /** It was being replaced. */
  | { event: "died"; gen: Gen; failure: Failure }
  /** Too many drain at once. */
  | { event: "hurried"; gen: Gen; maxDraining: number }
  | { event: "respawning"; gen: Gen; afterMs: number }
  /** It was not ready in its time, and a HUP asked for a fresh copy. */
  | { event: "given-up"; gen: Gen }
  | { event: "start-failed"; gen: Gen; failure: Failure }
  | { event: "stopping"; gens: Gen[] }
  /** It serves, but clients could not be sent (back) to it. */
  | { event: "unreachable"; gen: Gen; failure: Failure }
  | { event: "ignored"; what: string; why: string }
  | { event: "gone"; gen: Gen };

export type Effect =
  /** It gets its listeners, and the clients, and is not started. After `ms` at most `resume` is posted. */
  | { do: "hold"; gen: Gen; ms: number }
  /**
   * `public`: clients reach its listener from the start, since no other generation serves. `succeeds`: the dead generation whose
   * listeners it gets, with the clients that wait in them. `isHeld`: it has listeners, and clients wait in them.
   */
  | { do: "boot"; gen: Gen; public: boolean; succeeds?: Gen; afterMs?: number; isHeld?: boolean }
  | { do: "steer"; to: Gen }
  /** Wait for the settling of `old`, and before it for the warm-up, then post `settled`. */
  | { do: "settle"; old: Gen; next: Gen; warmUp: boolean }
  /** Pass on what waits in the listeners of `old`, which is gone, and post `settled` when all that was passed on has ended. */
  | { do: "give-back"; old: Gen; next: Gen }
  /** Post `expired` later; until then, where it `isJudged`, ask the judge, which posts `confirm` or `rollback`. */
  | { do: "await"; gen: Gen; ms: number; isJudged: boolean }
  /** That time is over, however it ended: neither `settled` nor `expired` is to follow. */
  | { do: "unsettle" }
  /** It has proved itself: what it writes is of no interest any more. */
  | { do: "unwatch"; gen: Gen }
  | { do: "retire"; gen: Gen; how: Retirement }
  /** Its leader is dead and another generation serves: clients that wait in listeners of its own are passed on to that one. */
  | { do: "rescue"; gen: Gen }
  /** Its tree is gone: its listeners are closed when the last waiting client has been taken out of them. */
  | { do: "release"; gen: Gen }
  | { do: "forward"; gen: Gen; signal: string }
  | { do: "report"; report: Report }
  /** A look at something about `gen`, only to tell people: see looks.ts. */
  | { do: "look"; at: Look; gen: Gen | undefined }
  | { do: "end"; ending: Ending };

/**
 * Processes that escaped from its tree; where it listens by itself; what of that its successor does not have; what the kernel has
 * killed for want of memory.
 */
export type Look = "escaped" | "own-addresses" | "lost-addresses" | "memory";

export interface Limits {
  /** Older generations allowed to drain at once; the oldest is killed beyond it. */
  maxDraining: number;
  /** Undefined: when the serving generation dies, hupwatch ends. */
  respawn?: { times: number; withinMs: number } | undefined;
  /** Without `confirm` within so long the flip is taken back; undefined: none is asked for. */
  confirmMs?: number | undefined;
  /** So long after a swap the generation before can have the clients back; undefined: it drains at once. */
  keepMs?: number | undefined;
}

export interface Step {
  state: State;
  effects: Effect[];
}

/** What a phase answers to an event. */
export type Cell<P extends Phase, K extends EventKind> = (state: In<P>, event: Of<K>, limits: Limits) => Step;
/** All answers of a phase. */
export type Row<P extends Phase> = { [K in EventKind]: Cell<P, K> };
