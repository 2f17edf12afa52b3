/** What a verification shall do, as data: what to judge, under which load, how many swaps, by which bounds. */
import type { Mode } from "../load/plan.ts";
import type { KeyFigures } from "./compare.ts";

/** Bad releases and accidents, on purpose; see chaos.ts for what each does and what it may cost. */
export const CHAOS_KINDS = ["crash", "hang", "warm-up", "storm", "phases", "kill"] as const;
export type ChaosKind = (typeof CHAOS_KINDS)[number];

export interface HupwatchSubject {
  kind: "hupwatch";
  /** The command that hupwatch wraps. */
  words: readonly string[];
  /** Options of `hupwatch run`, passed on as they are. */
  runWords: readonly string[];
  /** End it by TERM with `-k`; else, where survivors are wanted, by QUIT. */
  killAtExit: boolean;
}

/** The value of an option of `hupwatch run`. */
export const wordOf = ({ runWords }: HupwatchSubject, option: string): string | undefined =>
  runWords.findLast((word) => word.startsWith(`--${option}=`))?.slice(option.length + 3);

/** Any other way to reload, started by the user beforehand. */
export interface ReloadSubject {
  kind: "reload";
  /** Run by `sh -c` for each swap; ends when the reload has been asked for, or when it is over. */
  reload: string;
  /** Asked again and again after `reload`, until it exits 0. */
  ready: string | undefined;
  /** A swap counts as going on for so long after the commands have ended. */
  settleMs: number;
}

/** Undefined: measured and reported, never a reason to fail. */
export interface Bounds {
  maxP99Ratio?: number | undefined;
  maxP999Ratio?: number | undefined;
  maxGapMs?: number | undefined;
  maxMixedMs?: number | undefined;
  maxReadyMs?: number | undefined;
  maxRssSlopeKb?: number | undefined;
  maxCutStreams?: number | undefined;
  maxFdGrowth?: number | undefined;
  /** No figure may be more than so many times what it was in the earlier run. */
  maxWorse?: number | undefined;
}

export interface VerifyPlan {
  subject: HupwatchSubject | ReloadSubject;
  /** Where the load goes; undefined: the socket that hupwatch says it holds. */
  target: string | undefined;
  /** Request target of the GETs where `target` is undefined. */
  url: string;
  /** Undefined: fresh and keepalive, and post where the app keeps the contract. */
  modes: readonly Mode[] | undefined;
  /** Requests a second of each mode; those that hold a server for long get their share of it (traffic.ts). */
  rate: number;
  /** In flight at most, for each mode. */
  connections: number;
  swaps: number;
  /** Quiet time before each swap and after the last: what is steady is measured in it. */
  everyMs: number;
  /** New connections at once, at each moment that matters; 0: none. */
  burst: number;
  swapTimeoutMs: number;
  timeoutMs: number;
  slowMs: number;
  uploadBytes: number;
  /** How long clients take their time that do (load/manners.ts); `late` ones are silent until the stop signal. */
  lingerMs: number;
  websocketUrl: string;
  /** Put between the load and the server. */
  front: "nginx" | undefined;
  /** Of the instants at which requests are due, each within its own slot, and of the mix. */
  seed: number;
  checkBodies: boolean;
  missedMax: number;
  chaos: readonly ChaosKind[];
  /** So many of `chaos` and of ordinary swaps under one load, at random, the same again for the same seed; 0: none. */
  mix: number;
  allowStaleKeepAlive: boolean;
  /** The run ends with the swap in which the first request is dropped. */
  stopAtFirstDrop: boolean;
  /** File to which the app appends the id of every POST it executes; undefined: ours, offered in $VERIFY_LEDGER. */
  ledger: string | undefined;
  bounds: Bounds;
  /** Of an earlier run. */
  compareWith: KeyFigures | undefined;
}
