/**
 * The load generator: takes due slots from the schedule, puts each on a connection, books how it ended. One thread,
 * one owner of the connections, no terminal, no process-wide handlers, and no second try for anything.
 *
 * The law that makes the result worth something is asserted at the end of every run: scheduled = ok + failed + missed,
 * with nothing in flight. A request that got lost in here would be our bug, and must not pass as a clean run.
 */
import type { Connection, ConnectionOwner, Exchange } from "./connection.ts";
import { DangerLog } from "./dangers.ts";
import { lingers, MANNERS } from "./manners.ts";
import type { Failure } from "./outcome.ts";
import type { LoadPlan } from "./plan.ts";
import { Pool } from "./pool.ts";
import { RefusalOracle } from "./refusal.ts";
import { Requests } from "./requests.ts";
import { type LoadResult, makeResult, percentiles } from "./result.ts";
import type { LoadOptions, LoadRun } from "./run.ts";
import { type Schedule, scheduleOf } from "./schedule.ts";
import { newHistogram, Tally } from "./tally.ts";
import { VersionLog } from "./versions.ts";

export type { LoadOptions, LoadRun, LoadSnapshot } from "./run.ts";

/**
 * How long a closed loop leaves a connection alone whose connect failed. Asking again at once would turn half a second
 * of outage into a hundred thousand failures, and the figure would tell of our loop, not of the outage.
 */
const REFUSED_PAUSE_MS = 5;

/** Starts at once. Opens no more than the plan's connections, but for bursts. */
export function startLoad(plan: LoadPlan, options: LoadOptions = {}): LoadRun {
  return new Engine(plan, options);
}

class Engine implements LoadRun, ConnectionOwner {
  readonly originMs = performance.now();
  readonly done: Promise<LoadResult>;
  readonly #startedAt = new Date();
  readonly #end = Promise.withResolvers<LoadResult>();
  readonly #schedule: Schedule;
  readonly #requests: Requests;
  readonly #tally: Tally;
  readonly #versions = new VersionLog();
  readonly #dangers = new DangerLog();
  readonly #pool: Pool;
  readonly #oracle: RefusalOracle;
  readonly #lag = newHistogram();
  /** Requests in flight: those of the plan, and those of bursts. */
  #active = 0;
  #extra = 0;
  /** Connections that pause after a refusal. */
  #pausing = 0;
  #bursts = 0;
  #opened = 0;
  #idleCloses = 0;
  #unaskedBytes = 0;
  /** Milliseconds since the origin, as of the event that is being handled. */
  #now = 0;
  #pumping = false;
  #finished = false;
  #wakeAt = Number.POSITIVE_INFINITY;
  #wakeTimer: Timer | undefined;
  readonly #sweeper: Timer;
  readonly #ticker: Timer | undefined;
  #lastTickMs = 0;

  constructor(
    private readonly plan: LoadPlan,
    private readonly options: LoadOptions,
  ) {
    const { address } = plan.target;
    this.done = this.#end.promise;
    this.#schedule = scheduleOf(plan);
    this.#requests = new Requests(plan);
    this.#tally = new Tally(plan.failureRecordsMax, (n) => this.#requests.idOf(n));
    this.#pool = new Pool(address, this);
    this.#oracle = new RefusalOracle(address);
    const sweepMs = Math.min(250, Math.max(5, plan.timeoutMs / 20));
    this.#sweeper = setInterval(() => this.#pool.timeOut(this.#clock() - plan.timeoutMs), sweepMs);
    if (options.onTick) this.#ticker = setInterval(() => this.#tick(), options.tickMs ?? 200);
    options.signal?.addEventListener("abort", this.#stop, { once: true });
    // Not in here: the caller shall hold the run before anything happens on it.
    queueMicrotask(() => (options.signal?.aborted ? this.#stop() : this.#pump()));
  }

  burst(requests: number): void {
    if (this.#finished) return;
    const now = this.#clock();
    this.#bursts += requests;
    this.#extra += requests;
    for (let i = 0; i < requests; i++) this.#start(now, "extra");
  }

  release(percent: number): void {
    this.#clock();
    this.#pool.release(percent);
  }

  mark(instant: string): void {
    this.#pool.forEach((connection) => {
      const { dangers: marks } = connection.exchange;
      for (const danger of connection.dangers()) this.#dangers.met(danger, instant, marks);
    });
  }

  segment(name: string): void {
    this.#tally.segment(name);
  }

  // ConnectionOwner

  encode({ n, kind }: Exchange): Uint8Array {
    return this.#requests.encode(n, kind);
  }

  stableFrom({ n, kind }: Exchange): number {
    return this.#requests.idEndsAt(n, kind);
  }

  answered(connection: Connection): void {
    const now = this.#clock();
    const { exchange, reader } = connection;
    const failure = this.#judge(connection);
    if (failure) this.#bookFailure(connection, failure, now);
    else this.#tally.good(exchange, now);
    const keep = MANNERS[exchange.kind].reuses === true && !exchange.extra && reader.surplusBytes === 0;
    if (keep) connection.keep();
    else connection.close();
    this.#release(connection);
  }

  failed(connection: Connection, failure: Failure): void {
    this.#bookFailure(connection, failure, this.#clock());
    const closedLoop = this.plan.rate === undefined && !connection.exchange.extra;
    if (closedLoop && failure.phase === "connect") this.#pauseOne();
    this.#release(connection);
  }

  idleEnded(_connection: Connection, by: "bytes" | "close"): void {
    if (by === "bytes") this.#unaskedBytes++;
    else this.#idleCloses++;
  }

  speaks(exchange: Exchange): void {
    exchange.intendedMs = exchange.startedMs = this.#clock();
    exchange.lingerMs = 0;
    exchange.segment = this.#tally.currentSegment;
  }

  refusalErrno(): string {
    return this.#oracle.errno(performance.now());
  }

  // The loop

  /** Starts what is due, as far as connections are free. The only place that takes slots. */
  #pump(): void {
    // A connect that fails at once comes back here from inside the loop, which goes on by itself.
    if (this.#pumping || this.#finished) return;
    this.#pumping = true;
    while (this.#active + this.#pausing < this.plan.connections) {
      const intended = this.#schedule.take(this.#now);
      if (intended === undefined) break;
      this.#active++;
      this.#start(intended, "due");
    }
    this.#pumping = false;
    if (!this.#schedule.finished) this.#planWake();
    else if (this.#active + this.#extra + this.#pausing === 0) this.#finish();
  }

  #start(intendedMs: number, why: "due" | "extra"): void {
    const requests = this.#requests;
    const n = this.#tally.started;
    const kind = requests.kindOf(n);
    const manner = MANNERS[kind];
    const isExtra = why === "extra";
    const connection = manner.reuses && !isExtra ? this.#pool.idle() : this.#pool.closed();
    if (connection.state === "closed") this.#opened++;
    const { exchange } = connection;
    exchange.n = n;
    exchange.dangers.clear();
    exchange.kind = kind;
    exchange.keepBodyBytes = requests.keepBodyBytes(kind);
    exchange.lingerMs = lingers(manner) ? this.plan.lingerMs : 0;
    exchange.intendedMs = intendedMs;
    exchange.startedMs = this.#now;
    exchange.extra = isExtra;
    exchange.segment = this.#tally.currentSegment;
    this.#tally.start(kind);
    connection.send();
  }

  #release(connection: Connection): void {
    if (connection.exchange.extra) this.#extra--;
    else this.#active--;
    this.#pool.give(connection);
    this.#pump();
  }

  #pauseOne(): void {
    this.#pausing++;
    setTimeout(() => {
      this.#pausing--;
      this.#clock();
      this.#pump();
    }, REFUSED_PAUSE_MS);
  }

  #planWake(): void {
    const due = this.#schedule.nextDue();
    // A slot that is due already waits for a connection, not for the clock.
    if (due === undefined || due <= this.#now || due >= this.#wakeAt) return;
    clearTimeout(this.#wakeTimer);
    this.#wakeAt = due;
    this.#wakeTimer = setTimeout(() => {
      this.#wakeAt = Number.POSITIVE_INFINITY;
      this.#lag.recordValue(Math.max(0, Math.round((this.#clock() - due) * 1000)));
      this.#pump();
    }, due - this.#now);
  }

  readonly #stop = (): void => {
    this.#schedule.stop(this.#clock());
    this.#pump();
  };

  #finish(): void {
    this.#finished = true;
    clearInterval(this.#sweeper);
    clearInterval(this.#ticker);
    clearTimeout(this.#wakeTimer);
    this.options.signal?.removeEventListener("abort", this.#stop);
    this.#pool.closeAll();
    this.#tally.gapUntil(this.#clock());
    if (this.options.onTick) this.#tick();
    try {
      this.#assertConserved();
      this.#end.resolve(this.#result());
    } catch (bug) {
      this.#end.reject(bug);
    }
  }

  #assertConserved(): void {
    const { started, ok, failed } = this.#tally;
    const { fallen, missed } = this.#schedule;
    if (started === ok + failed && fallen + this.#bursts === started + missed) return;
    throw new Error(
      `the load generator lost count: ${fallen} slots + ${this.#bursts} in bursts, ${started} started, ` +
        `${missed} missed, ${ok} ok, ${failed} failed`,
    );
  }

  // The books

  #bookFailure(connection: Connection, failure: Failure, now: number): void {
    const { receivedBytes: bytes, reader, localPort } = connection;
    const received = { bytes, status: reader.state === "idle" ? 0 : reader.status, localPort };
    this.#dangers.lost(connection.exchange.dangers);
    const record = this.#tally.bad(connection.exchange, failure, received, now);
    this.options.onFailure?.(record);
  }

  #sentMs = 0;
  #newer: string | undefined;
  readonly #readVersion = (bytes: Uint8Array, from: number, to: number): void => {
    this.#newer = this.#versions.note(bytes, from, to, this.#sentMs, this.#now);
  };

  /** Returns a failure where the plan wants a step back in versions to be one. */
  #noteVersion({ exchange, reader }: Connection): Failure | undefined {
    this.#sentMs = exchange.startedMs;
    this.#newer = undefined;
    reader.head.withHeader("x-version", this.#readVersion);
    if (this.#newer === undefined || !this.plan.staleIsFailure) return undefined;
    const version = reader.head.header("x-version");
    return { class: "stale-version", phase: "answer", detail: `${version} after ${this.#newer}` };
  }

  /** Undefined: it is good. */
  #judge(connection: Connection): Failure | undefined {
    const { exchange, reader } = connection;
    if (connection.isWebSocket) return undefined;
    const stale = this.#noteVersion(connection);
    return this.#requests.judge(reader, exchange.n, exchange.kind) ?? stale;
  }

  #tick(): void {
    const now = this.#clock();
    const { started, ok, failed } = this.#tally;
    this.options.onTick?.({
      elapsedMs: now,
      started,
      ok,
      failed,
      missed: this.#schedule.missed,
      inFlight: this.#active + this.#extra,
      interval: percentiles(this.#tally.takeInterval()),
      intervalMs: now - this.#lastTickMs,
    });
    this.#lastTickMs = now;
  }

  #result(): LoadResult {
    return makeResult(this.plan, this.#tally, {
      startedAt: this.#startedAt,
      elapsedMs: this.#now,
      missed: this.#schedule.missed,
      connectionsOpened: this.#opened,
      idleCloses: this.#idleCloses,
      unaskedBytes: this.#unaskedBytes,
      versions: this.#versions.seen,
      versionRegressions: this.#versions.regressions,
      dangers: this.#dangers.counts,
      idPrefix: this.#requests.idPrefix,
      lag: this.#lag,
    });
  }

  #clock(): number {
    this.#now = performance.now() - this.originMs;
    return this.#now;
  }
}
