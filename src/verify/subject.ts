/** What is judged, seen from the conductor: something that serves at an address and can be asked to swap. */
import type { Process } from "../os/procfs.ts";
import type { Swap } from "./journal.ts";
import type { ChaosKind } from "./plan.ts";

/** The instants at which a swap can go wrong; bursts are aimed at them. */
export type Moment = "asked" | "flipped" | "decided" | "stopping" | "gone";

export interface Subject extends AsyncDisposable {
  /** Serves now; what the load is aimed at. Throws with exit code 3. */
  start(): Promise<string>;
  /** One ordinary swap, until its last trace is gone. */
  swap(): Promise<Swap[]>;
  /** One accident; only those that `plan.chaos` may name. */
  chaos(kind: ChaosKind): Promise<Swap[]>;
  /** Whether every new connection is steered to exactly one generation; undefined: not known. */
  readonly steered: boolean | undefined;
  /** What is measured between swaps; undefined where there is nothing to look into. */
  readonly pid: number | undefined;
  /** Why it serves no more; undefined while it does. */
  readonly death: string | undefined;
  /** Every process that came of the run and still lives, whatever its parent is now. */
  remains(): Process[];
  /** Ends it in good order, once the load is over. */
  stop(): Promise<void>;
  /** The generation that new connections are led to; undefined: not known. */
  readonly serving: number | undefined;
  /** When it was asked to swap. */
  readonly signalsMs: readonly number[];
  /** `leader`: the process of the generation that it is about, where that is known. */
  onMoment: ((moment: Moment, leader?: number) => void) | undefined;
}
