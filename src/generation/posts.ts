/** What a generation posts of itself, and how it can be taken down. Types alone. */
import type { Failure, Gen } from "../events/service-event.ts";

/**
 * How a generation is taken down: by the stop sequence when it has no connections left or its time for that is over (it was
 * replaced: nothing new reaches it), by the stop sequence at once, by a shortened one (it never served), swept (its leader
 * is dead), killed.
 */
export type Retirement = "drain" | "graceful" | "abandon" | "sweep" | "kill";

export type GenerationEvent =
  | { kind: "ready"; gen: Gen }
  /** A first start without a deadline of the user's: not ready in the usual time, and it goes on. */
  | { kind: "overdue"; gen: Gen }
  /** Not started, not ready in time, or its listener could not be put in place. */
  | { kind: "failed"; gen: Gen; failure: Failure; at: number }
  /** The leader has ended; parts of its tree may live on. `at` is a monotonic clock's milliseconds. */
  | { kind: "exited"; gen: Gen; failure: Failure; at: number }
  /** The whole tree of a retired generation has ended. */
  | { kind: "gone"; gen: Gen };
