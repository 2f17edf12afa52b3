/**
 * Leads a verification: starts the subject, loads it, has it swap, stops it, and hands back what was seen. It judges
 * nothing. The order matters: the load ends before the subject is stopped, for a stop ends requests by right.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FailureLog, unixZeroOf } from "../load/failure-log.ts";
import type { FailureRecord } from "../load/outcome.ts";
import { makePlan } from "../load/plan.ts";
import { preflight } from "../load/preflight.ts";
import { type Address, parseTarget } from "../load/target.ts";
import { mixOf } from "./chaos.ts";
import { RunClock } from "./clock.ts";
import type { Evidence, Stage } from "./evidence.ts";
import { ForeignServer } from "./foreign.ts";
import { NginxFront } from "./front.ts";
import { HupwatchServer } from "./hupwatch.ts";
import type { Swap } from "./journal.ts";
import { KernelWatch } from "./kernel-watch.ts";
import { joinLedger } from "./ledger.ts";
import { isDrop } from "./losses.ts";
import type { VerifyPlan } from "./plan.ts";
import { Probes } from "./probes.ts";
import { changeOf, placeOf, type Server, serversAt } from "./serving.ts";
import { sampleOf, socketFilesAt } from "./stock.ts";
import type { Subject } from "./subject.ts";
import { Traffic, type TrafficMode } from "./traffic.ts";

export interface Watcher {
  /** Ends the run in good order after the swap that is going on. */
  signal: AbortSignal;
  /** Where each failure is reported as it happens. */
  failures?: FailureLog | undefined;
  progress?: { everyMs: number; show(progress: Progress): void } | undefined;
}

export interface Progress {
  /** What goes on, e.g. `swap 3 of 10`. */
  doing: string;
  elapsedMs: number;
  started: number;
  failed: number;
  perSecond: number;
  p99Us: number;
}

const WARM_UP_MS = 1000;
/** What a stopped generation's stragglers may take to be gone from the process table. */
const REMAINS_GRACE_MS = 3000;

export async function conduct(plan: VerifyPlan, watcher: Watcher): Promise<Evidence> {
  const clock = new RunClock();
  const folder = mkdtempSync(join(tmpdir(), "hupwatch-verify-"));
  using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
  const ledger = plan.ledger ?? join(folder, "ledger");
  await using subject = subjectOf(plan, clock, folder, ledger);
  return await new Conductor(plan, subject, clock, watcher, ledger, folder).run();
}

function subjectOf(plan: VerifyPlan, clock: RunClock, folder: string, ledger: string): Subject {
  const { subject } = plan;
  return subject.kind === "hupwatch"
    ? new HupwatchServer(plan, subject, clock, folder, ledger)
    : new ForeignServer(subject, plan.target ?? "", plan.swapTimeoutMs, clock, folder);
}

class Conductor {
  readonly #evidence: Evidence;
  #socketPath: string | undefined;
  #doing = "starting";
  /** By the first drop. */
  #stopped = false;
  #traffic: Traffic | undefined;
  /** The server's own, whatever is in front of it. */
  #address: Address | undefined;
  #servers: Server[] | undefined;
  /** Of the stages that are over. */
  #before = { started: 0, failed: 0 };

  constructor(
    private readonly plan: VerifyPlan,
    private readonly subject: Subject,
    private readonly clock: RunClock,
    private readonly watcher: Watcher,
    private readonly ledger: string,
    private readonly folder: string,
  ) {
    this.#evidence = {
      ...{ plan, target: "", modes: [], steered: undefined, startedAt: clock.startedAt, elapsedMs: 0 },
      ...{ stages: [], samples: [], ledger: undefined, death: undefined, interrupted: false },
      ...{ remains: [], socketFilesLeft: [] },
    };
  }

  async run(): Promise<Evidence> {
    const { plan, subject, clock } = this;
    const evidence = this.#evidence;
    using _ticker = this.#ticking();
    evidence.target = await subject.start();
    const target = parseTarget(evidence.target, process.cwd());
    const { address } = target;
    this.#address = address;
    if (address.kind === "unix" && !address.path.startsWith("\0")) this.#socketPath = address.path;
    await preflight(makePlan(target, { connections: plan.connections }));
    await using front = plan.front && (await NginxFront.start(this.#frontFolder(), address));
    if (front) evidence.target = target.url === "/" ? front.target : `${front.target}:${target.url}`;
    const probes = new Probes(plan, evidence.target);
    await probes.assertAnswers();
    // What stands in front keeps connections of its own: a new one of ours may lead to an old generation by right.
    evidence.steered = front ? false : subject.steered;
    evidence.modes = plan.modes ?? (await probes.offeredModes());
    await probes.assertServed(evidence.modes);

    await this.#stage("swaps", plan.swaps, () => subject.swap());
    const act = (kind: Swap["kind"]) => (kind === "swap" ? subject.swap() : subject.chaos(kind));
    if (plan.mix === 0) for (const kind of plan.chaos) await this.#stage(kind, 1, () => act(kind));
    const mix = mixOf(plan.seed, plan.mix, plan.chaos);
    if (mix.length > 0) await this.#stage("mix", mix.length, (i) => act(mix[i] ?? "swap"));

    this.#doing = "stopping";
    evidence.death = subject.death;
    await subject.stop();
    await this.#lookForRemains();
    const results = evidence.stages.flatMap((stage) => stage.runs.map((run) => run.result));
    evidence.ledger = joinLedger(readIfThere(this.ledger), [...probes.results, ...results]);
    evidence.interrupted = this.watcher.signal.aborted || this.#stopped;
    evidence.elapsedMs = clock.now();
    return evidence;
  }

  /** Loads the service anew, and does it so many times: quiet time, act, until its last trace is gone. */
  async #stage(name: Stage["name"], times: number, act: (i: number) => Promise<Swap[]>): Promise<void> {
    const { subject, clock, plan } = this;
    if (this.#over) return;
    // Before the load: it is sent by this thread, and on a busy machine a first look takes seconds.
    this.#servers ??= await this.#look();
    const watch = new KernelWatch((this.#address && placeOf(this.#address)) ?? { port: 0 });
    const stage: Stage = {
      ...{ name, startMs: clock.now(), endMs: 0, asked: times, runs: [], swaps: [], signalsMs: [] },
      kernel: watch.seen,
    };
    this.#evidence.stages.push(stage);
    const traffic = new Traffic(plan, this.#evidence.target, this.#evidence.modes, clock, (...failure) =>
      this.#failed(name, ...failure),
    );
    this.#traffic = traffic;
    // The first second is the worst of every program, ours included: neither steady nor in a swap.
    traffic.segment("warm-up");
    await this.#sleep(Math.min(WARM_UP_MS, plan.everyMs));
    traffic.segment("base");
    subject.onMoment = (moment, leader) => {
      watch.at(moment, leader);
      traffic.meet(moment);
    };
    for (let i = 1; i <= times && !this.#over; i++) {
      this.#doing = times > 1 || name === "swaps" ? `${name}: ${i} of ${times}` : `chaos: ${name}`;
      await this.#quiet(traffic);
      if (this.#over) break;
      traffic.segment("swap");
      watch.begin();
      stage.swaps.push(...(await this.#watched(traffic, () => act(i - 1))));
      stage.signalsMs.push(...subject.signalsMs);
      traffic.settle();
      traffic.segment("base");
    }
    await this.#quiet(traffic);
    subject.onMoment = undefined;
    stage.runs = await traffic.stop();
    this.#traffic = undefined;
    stage.endMs = clock.now();
    for (const { result } of stage.runs) {
      this.#before.started += result.started;
      this.#before.failed += result.failed;
    }
  }

  /** Does it, and looks what serves afterwards: neither in the swap nor steady. Between two swaps nothing changes. */
  async #watched(traffic: Traffic, act: () => Promise<Swap[]>): Promise<Swap[]> {
    const before = this.#servers ?? [];
    const swaps = await act();
    traffic.segment("look");
    this.#servers = await this.#look();
    const processes = changeOf(before, this.#servers);
    return swaps.map((swap) => ({ ...swap, processes }));
  }

  #failed(stage: Stage["name"], record: FailureRecord, mode: TrafficMode, originMs: number): void {
    const { plan, watcher, subject } = this;
    const known = { mode, stage, generation: subject.serving };
    watcher.failures?.write(record, unixZeroOf(originMs), known);
    if (plan.stopAtFirstDrop && isDrop(record, stage, plan.allowStaleKeepAlive)) this.#stopped = true;
  }

  async #look(): Promise<Server[]> {
    return this.#address ? serversAt(this.#address) : [];
  }

  #frontFolder(): string {
    const folder = join(this.folder, "front");
    mkdirSync(folder);
    return folder;
  }

  get #over(): boolean {
    return this.watcher.signal.aborted || this.#stopped || this.subject.death !== undefined;
  }

  /** Quiet, but for as many bursts as a swap gets: else the two would not be comparable. */
  async #quiet(traffic: Traffic): Promise<void> {
    const { everyMs } = this.plan;
    const bursts = [0.2, 0.4, 0.6, 0.8].map((share) => setTimeout(() => traffic.burst(), everyMs * share));
    await this.#sleep(everyMs);
    for (const timer of bursts) clearTimeout(timer);
    this.#sample();
  }

  async #sleep(ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    for (let left = ms; left > 0 && !this.#over; left = deadline - performance.now())
      await Bun.sleep(Math.min(100, left));
  }

  #sample(): void {
    const { pid } = this.subject;
    const sample = pid === undefined ? undefined : sampleOf(pid, this.#socketPath, this.clock.now());
    if (sample) this.#evidence.samples.push(sample);
  }

  async #lookForRemains(): Promise<void> {
    const deadline = performance.now() + REMAINS_GRACE_MS;
    let remains = this.subject.remains();
    while (remains.length > 0 && performance.now() < deadline) {
      await Bun.sleep(100);
      remains = this.subject.remains();
    }
    this.#evidence.remains = remains.map(({ pid, command, state }) => `${pid} ${command} (${state})`);
    if (this.plan.subject.kind === "hupwatch" && this.#socketPath !== undefined)
      this.#evidence.socketFilesLeft = socketFilesAt(this.#socketPath);
  }

  #ticking(): Disposable | undefined {
    const { progress } = this.watcher;
    if (!progress) return undefined;
    const tick = () => {
      const now = this.#traffic?.progress ?? { started: 0, failed: 0, perSecond: 0, p99Us: 0 };
      progress.show({
        ...now,
        doing: this.#doing,
        elapsedMs: this.clock.now(),
        started: this.#before.started + now.started,
        failed: this.#before.failed + now.failed,
      });
    };
    const timer = setInterval(tick, progress.everyMs);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
