/** The load of one stage: a run for each mode at once, and one more that only sends bursts. */
import { startLoad } from "../load/engine.ts";
import type { FailureRecord } from "../load/outcome.ts";
import { type Mode, makePlan } from "../load/plan.ts";
import type { LoadResult } from "../load/result.ts";
import type { LoadRun, LoadSnapshot } from "../load/run.ts";
import { parseTarget, type Target } from "../load/target.ts";
import type { RunClock } from "./clock.ts";
import type { VerifyPlan } from "./plan.ts";
import type { Moment } from "./subject.ts";

/** The least the schedule takes: the bursts' run does next to nothing by itself. */
const BURSTS_OWN_RATE = 0.01;
/**
 * So many connections are kept, however few the rate needs: each is one that a retiring generation has to end well.
 * Opened anew after each swap, which may have closed them.
 */
const KEPT = 10;
/** Of `--rate`: these hold a server's worker far longer than the others do. `late` ones come with the swaps alone. */
const SHARE: Partial<Record<Mode, number>> = {
  ...{ slow: 0.01, upload: 0.05, late: 0 },
  ...{ "slow-send": 0.05, "slow-read": 0.01, "half-close": 0.1, sse: 0.01, websocket: 0.01 },
};
/** Connected before the flip, and silent until the old generation was asked to stop. */
const LATE = 10;
/** The other half of them speaks so long after the first. */
const SPEAK_APART_MS = 200;
const FAILURES_KEPT = 20_000;

export type TrafficMode = Mode | "burst";

export interface TrafficRun {
  mode: TrafficMode;
  /** The zero of the result's milliseconds, on the run's clock. */
  offsetMs: number;
  result: LoadResult;
}

export class Traffic {
  readonly #runs: { mode: TrafficMode; run: LoadRun }[];
  readonly #snapshots = new Map<TrafficMode, LoadSnapshot>();
  readonly #end = new AbortController();

  constructor(
    private readonly plan: VerifyPlan,
    target: string,
    modes: readonly Mode[],
    private readonly clock: RunClock,
    private readonly onFailure: (record: FailureRecord, mode: TrafficMode, originMs: number) => void,
  ) {
    const all: TrafficMode[] = plan.burst > 0 ? [...modes, "burst"] : [...modes];
    this.#runs = all.map((mode) => ({ mode, run: this.#start(mode, target) }));
    this.refill();
  }

  #start(mode: TrafficMode, target: string): LoadRun {
    const { plan } = this;
    const share = mode === "burst" ? 0 : (SHARE[mode] ?? 1);
    const loadPlan = makePlan(this.#targetOf(mode, target), {
      mode: mode === "burst" ? "fresh" : mode,
      connections: plan.connections,
      rate: Math.max(BURSTS_OWN_RATE, plan.rate * share),
      durationMs: undefined,
      requests: undefined,
      timeoutMs: plan.timeoutMs,
      slowMs: plan.slowMs,
      lingerMs: mode === "late" ? plan.swapTimeoutMs : plan.lingerMs,
      websocketUrl: plan.websocketUrl,
      jitterSeed: plan.seed,
      uploadBytes: plan.uploadBytes,
      checkBodies: plan.checkBodies,
      missedMax: plan.missedMax,
      failureRecordsMax: FAILURES_KEPT,
    });
    const onTick = (snapshot: LoadSnapshot) => void this.#snapshots.set(mode, snapshot);
    const onFailure = (record: FailureRecord) => this.onFailure(record, mode, run.originMs);
    const run = startLoad(loadPlan, { signal: this.#end.signal, onTick, onFailure });
    return run;
  }

  /** `--url` is what the GETs ask for; the others have the contract's paths. */
  #targetOf(mode: TrafficMode, text: string): Target {
    const target = parseTarget(text, process.cwd());
    const plainGet = ["fresh", "burst", "keepalive", "late", "half-close", "mix"].includes(mode);
    return plainGet || this.plan.target !== undefined ? target : { ...target, url: "/" };
  }

  segment(name: string): void {
    for (const { run } of this.#runs) run.segment(name);
  }

  /** What a swap is met with at the instants at which it can go wrong: new connections all at once, and late clients. */
  meet(moment: Moment): void {
    for (const { run } of this.#runs) run.mark(moment);
    this.burst();
    const late = this.#of("late");
    if (moment === "asked") late?.burst(Math.min(LATE, this.plan.connections));
    if (moment !== "stopping") return;
    late?.release(50);
    setTimeout(() => late?.release(100), SPEAK_APART_MS);
  }

  /** New connections, all at once. */
  burst(): void {
    this.#of("burst")?.burst(this.plan.burst);
  }

  /** The swap is over: no client is silent any longer. */
  settle(): void {
    this.#of("late")?.release(100);
    this.refill();
  }

  /** Opens as many kept connections as there shall be, by a request on each. */
  refill(): void {
    const missing = Math.min(KEPT, this.plan.connections);
    for (const mode of ["keepalive", "post", "mix"] as const) this.#of(mode)?.burst(missing);
  }

  #of(mode: TrafficMode): LoadRun | undefined {
    return this.#runs.find((one) => one.mode === mode)?.run;
  }

  /** Sums over the runs, as of their last tick. */
  get progress(): { started: number; failed: number; perSecond: number; p99Us: number } {
    const all = [...this.#snapshots.values()];
    const sum = (of: (s: LoadSnapshot) => number) => all.reduce((total, s) => total + of(s), 0);
    return {
      started: sum((s) => s.started),
      failed: sum((s) => s.failed),
      perSecond: sum((s) => (s.interval.count * 1000) / Math.max(1, s.intervalMs)),
      p99Us: Math.max(0, ...all.map((s) => s.interval.p99Us)),
    };
  }

  /** Nothing new starts; resolves when all that was started has ended. */
  async stop(): Promise<TrafficRun[]> {
    this.#end.abort();
    this.#of("late")?.release(100);
    return Promise.all(
      this.#runs.map(async ({ mode, run }) => ({
        mode,
        offsetMs: this.clock.since(run.originMs),
        result: await run.done,
      })),
    );
  }
}
