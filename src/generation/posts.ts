/** How a generation is started and taken down, and which events it posts. Only types. */
import type { Failure, Gen } from "../events/service-event.ts";

/**
 * How a generation is taken down: by the stop sequence when it has no connections left or its time for that is over (it was
 * replaced, and gets no new ones); by the stop sequence at once; by a shortened one (it never served); swept (its leader is dead); killed.
 */
export type Retirement = "drain" | "graceful" | "abandon" | "sweep" | "kill";

export interface Boot {
  /** No other generation serves or has served: the first start, not the successor of a dead generation. */
  isFirst: boolean;
  /** It takes the place of a dead generation, which has passed --preflight; there is no time to run that again. */
  isReplacement: boolean;
  /** If nothing shows whether it accepts, the old one stays for this long after its checks have passed. */
  unprovenMs: number;
}

export type GenerationEvent =
  | { kind: "ready"; gen: Gen }
  /** A first start, for which the user set no deadline, was not ready in the usual time; it goes on. */
  | { kind: "overdue"; gen: Gen }
  /** Not started, not ready in time, or its listener could not be put in place. */
  | { kind: "failed"; gen: Gen; failure: Failure; at: number }
  /** The leader has ended; parts of its tree may live on. `at` is a monotonic clock's milliseconds. */
  | { kind: "exited"; gen: Gen; failure: Failure; at: number }
  /** The whole tree of a retired generation has ended. */
  | { kind: "gone"; gen: Gen };
