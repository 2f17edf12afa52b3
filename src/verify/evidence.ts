/** What was seen, before it is judged. Times are milliseconds since the run began. */
import type { Mode } from "../load/plan.ts";
import type { Swap } from "./journal.ts";
import type { KernelSightings } from "./kernel-watch.ts";
import type { LedgerFindings } from "./ledger.ts";
import type { ChaosKind, VerifyPlan } from "./plan.ts";
import type { Sample } from "./stock.ts";
import type { TrafficRun } from "./traffic.ts";

/** A load of its own, so that what an accident cost is told apart from what the swaps cost. */
export interface Stage {
  name: "swaps" | ChaosKind | "mix";
  startMs: number;
  endMs: number;
  /** How often it was to be done. */
  asked: number;
  runs: TrafficRun[];
  swaps: Swap[];
  /** When it was asked to swap. */
  signalsMs: number[];
  kernel: KernelSightings;
}

export interface Evidence {
  plan: VerifyPlan;
  target: string;
  modes: readonly Mode[];
  /** Undefined: not known. */
  steered: boolean | undefined;
  startedAt: Date;
  elapsedMs: number;
  stages: Stage[];
  samples: Sample[];
  /** Undefined: the app wrote none. */
  ledger: LedgerFindings | undefined;
  /** The subject ended by itself; why. */
  death: string | undefined;
  interrupted: boolean;
  /** Processes that outlived the stop. */
  remains: string[];
  socketFilesLeft: string[];
}
