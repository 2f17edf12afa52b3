/**
 * One run of the command: its process, its listeners, its readiness, its end. It owns all of them from `boot` until it
 * posts `gone`, and only ever posts events; what they mean is the machine's business.
 */
import { join } from "node:path";
import type { Doubt, Failure, Gen, Tell } from "../events/service-event.ts";
import type { Keeping, Kept } from "../os/keeping.ts";
import type { Os } from "../os/os.ts";
import type { ExitStatus } from "../os/spawn.ts";
import { generationEnvironment } from "../plan/environment.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { formatStopSequence } from "../plan/stop-sequence.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import { describeExit, describeKill, failureBy } from "./failure.ts";
import { Listeners } from "./listeners.ts";
import { OwnFiles } from "./own-files.ts";
import type { Boot, GenerationEvent, Retirement } from "./posts.ts";
import { Preflight } from "./preflight.ts";
import { Processes } from "./processes.ts";
import type { RecordedGeneration, Role, StartedGeneration } from "./record.ts";
import { Start } from "./start.ts";
import { Takedown } from "./takedown.ts";
import { type Unheld, unheldBy } from "./unheld.ts";
import { runLine, type UserLine } from "./user-line.ts";

export class Generation {
  readonly listeners: Listeners;
  readonly processes: Processes;
  readonly #takedown: Takedown;
  #files: OwnFiles | undefined;
  /** It waits for its turn to boot. */
  #turn: Disposable | undefined;
  #preflight: Preflight | undefined;
  /** An adopted one has none. */
  #start: Start | undefined;
  #readyMs: number | undefined;
  /** No other process can answer at its listeners. A dead generation's listeners are shared with its workers while these live. */
  #mayBeProbed = true;
  #gone = false;
  /** Its clients' connections, which outlive it. */
  #keeping: Keeping | undefined;
  /** The signal that ended it while it had connections. */
  #cutBy: NodeJS.Signals | undefined;

  constructor(
    readonly number: Gen,
    private readonly plan: RunPlan,
    held: readonly HeldSocket[],
    private readonly os: Os,
    private readonly post: (event: GenerationEvent) => void,
    private readonly tell: Tell,
  ) {
    this.listeners = new Listeners(number, held);
    this.processes = new Processes(number, plan.user, os, tell, (status) => this.#onExit(status));
    this.#takedown = new Takedown({
      clock: os.clock,
      stopSequence: plan.stopSequence,
      untilIdleMs: plan.drainUntilIdleMs,
      processes: this.processes,
      connections: () => os.watchConnections(() => this.processes.pids(), this.listeners.places),
      keep: (then, goesOn) => this.#keep(then, goesOn),
      leftBehind: (processes) => {
        this.listeners.markUnproven();
        tell({ event: "generation.left-behind", generation: number, processes });
      },
      gone: () => this.#finish(),
    });
  }

  /** Whole milliseconds since its start, or since its turn to boot came. */
  get ageMs(): number {
    return this.processes.ageMs;
  }

  /** After how long its checks had passed; undefined while they have not. */
  get readyMs(): number | undefined {
    return this.#readyMs;
  }

  /** Undefined if this generation has answered its checks for sure, or was seen to accept. */
  get doubt(): Doubt | undefined {
    if (this.#start?.isSeenAccepting) return undefined;
    if (this.#start?.isNowhere) return "nowhere";
    return this.listeners.proof ? undefined : "shared";
  }

  /** It counts as ready without any check: nothing is held, and the user has asked for none. */
  get isUnasked(): boolean {
    return this.plan.isHandoverRefused && !this.plan.isReadinessGiven;
  }

  /** A Unix path at which only this generation answers. */
  get privatePath(): string | undefined {
    return this.listeners.probed[0]?.privatePath;
  }

  /** Also undefined if a check that the user requested says that it is ready. */
  get ownDoubt(): Doubt | undefined {
    return this.plan.isReadinessGiven ? undefined : this.doubt;
  }

  /** What a later hupwatch must know of it, from before it runs until it is gone. */
  record(role: Role): RecordedGeneration | undefined {
    if (this.#gone) return undefined;
    const stop = formatStopSequence(this.plan.stopSequence);
    return { ...this.processes.identity, role, stop, listeners: this.listeners.record() };
  }

  /** Opens its listeners, or inherits those of a dead generation. Throws HupwatchError and SystemError. */
  listen(predecessor?: Generation): void {
    const { runDir, extraListener, nonblocking } = this.plan;
    const probePath =
      extraListener && runDir ? join(runDir, `probe-${this.os.pid}-${this.number}`) : undefined;
    this.#mayBeProbed = predecessor === undefined;
    if (predecessor) this.listeners.succeed(predecessor.listeners);
    else this.listeners.open({ probePath, nonblocking });
  }

  /** Takes charge of a survivor: a running generation that this process did not start. */
  adopt(survivor: StartedGeneration): void {
    this.#files = OwnFiles.presumed(this.plan, this.number);
    this.listeners.adopt(survivor.listeners);
    this.processes.adopt(survivor, survivor.hupwatchPid);
  }

  /** Boots later, unless it is retired before. */
  bootAfter(ms: number, boot: Boot): void {
    this.#turn = this.os.clock.after(ms, () => this.boot(boot));
  }

  /** Starts the command, after --preflight, and probes it until it is ready. Posts `ready`, `failed` or `exited`. */
  boot(boot: Boot): void {
    this.processes.begin();
    const isChecked = !boot.isReplacement && this.plan.preflights.length > 0;
    this.#orFail(() => (isChecked ? this.#check(boot) : this.#begin(boot)));
  }

  #orFail(act: () => void): void {
    try {
      act();
    } catch (error) {
      const { reason, ...rest } = failureBy(error);
      this.#fail({ ...rest, reason: `cannot be started: ${reason}` });
    }
  }

  #check(boot: Boot): void {
    const { os, plan, number: generation } = this;
    this.#preflight = new Preflight(os, plan, generationEnvironment(plan, generation, os.pid), {
      passed: () => this.#orFail(() => this.#begin(boot)),
      failed: (failure) => this.#fail(failure),
      linePassed: (command, tookMs) =>
        this.tell({ event: "generation.preflight", generation, command, tookMs }),
    });
    this.#preflight.begin();
  }

  #begin(boot: Boot): void {
    const { plan, os, tell, listeners, processes, number: gen } = this;
    this.#files = OwnFiles.of(plan, gen);
    this.#files.prepare();
    this.#start = new Start({ gen, plan, os, tell, listeners, processes }, boot, {
      ready: () => {
        this.#readyMs = processes.ageMs;
        this.post({ kind: "ready", gen });
      },
      failed: (failure) => this.#fail(failure),
      overdue: () => this.post({ kind: "overdue", gen }),
      proven: () => {
        this.#readyMs = processes.ageMs;
        const { addresses } = listeners;
        tell({ event: "generation.proven", generation: gen, readyMs: this.#readyMs, addresses });
      },
    });
    this.#start.begin();
    if (this.#mayBeProbed) this.#start.probe();
  }

  /** The generations whose listeners it got have no process left. */
  probe(): void {
    this.#mayBeProbed = true;
    this.#start?.probe();
  }

  /** Runs a shell line of the user for it. Throws HupwatchError. */
  run(line: string): UserLine {
    const own = generationEnvironment(this.plan, this.number, this.os.pid);
    return runLine(this.os, this.plan, line, { env: { ...own, ...this.listeners.way } });
  }

  /** It listens at an address that was unknown; from now on that is held. */
  learn(socket: HeldSocket): void {
    this.listeners.learn(socket);
    this.#start?.listens();
  }

  /** An older generation listens there, which was unknown when this one was started. Throws HupwatchError and SystemError. */
  offer(socket: HeldSocket): void {
    this.processes.leader?.give?.(this.listeners.offer(socket));
  }

  listensAt(socket: HeldSocket): boolean {
    return this.processes.leader?.listening?.().has(format(socket.address)) === true;
  }

  #fail(failure: Failure): void {
    const { number: gen } = this;
    this.#start?.giveUp();
    const withLines = this.#start?.withLines(failure) ?? failure;
    this.post({ kind: "failed", gen, failure: withLines, at: this.os.clock.now() });
  }

  #onExit(exit: ExitStatus): void {
    const { processes, number: gen } = this;
    const isUnasked = processes.endedByItself(exit);
    this.#keeping?.ended(isUnasked);
    this.#noteIfCut(exit);
    const killed = isUnasked
      ? describeKill(exit, { isBesideAnother: this.#start?.isBesideAnother === true })
      : "";
    const reason = `${describeExit(exit, processes.ageMs)}${killed}`;
    const post = (failure: Failure) => {
      const wasBegun = this.#takedown.begun;
      this.post({ kind: "exited", gen, failure, at: this.os.clock.now() });
      if (wasBegun) this.#takedown.sweep();
    };
    const failure = { reason, exit, isUnasked };
    if (this.#start) this.#start.end(failure, post);
    else post(failure);
  }

  /** The stop signal ended it while it had connections. A program that had finished what it had may end by that very signal: one that has a handler for it. */
  #noteIfCut({ signal }: ExitStatus): void {
    const { unfinished } = this.#takedown;
    if (!unfinished || signal !== unfinished.signal) return;
    if (this.plan.hidesHandlers || !unfinished.isHandled) this.#cutBy = signal;
  }

  /** `kept`: undefined where it was not tried. What is kept is not cut. */
  #tellIfCut(kept: Kept | undefined): void {
    const signal = this.#cutBy;
    if (signal === undefined || (kept && kept.closed + kept.others === 0)) return;
    this.tell({ event: "generation.cut", generation: this.number, signal });
  }

  /** Where it listens besides the listeners that it was given. */
  unheld(): Unheld[] {
    return unheldBy(this.processes, this.listeners, this.os);
  }

  /** It is proven: its output is not captured any more. */
  unwatch(): void {
    this.#start?.unwatch();
  }

  /** Takes it down; posts `gone` when its whole tree has ended. Called again, only "kill" changes anything. */
  retire(how: Retirement): void {
    if (this.#gone || (this.#takedown.begun && how !== "kill")) return;
    this.#turn?.[Symbol.dispose]();
    this.#preflight?.[Symbol.dispose]();
    this.#start?.giveUp();
    this.processes[Symbol.dispose]();
    this.#takedown.begin(how);
  }

  #keep(then: () => void, goesOn: () => void): void {
    const { os, number: generation, listeners, processes } = this;
    const isHttp = this.#start?.isHttp === true;
    this.#keeping = os.keepConnections?.({ generation, processes, ways: listeners.ways, isHttp });
    if (this.#keeping) this.#keeping.begin(then, goesOn);
    else then();
  }

  #finish(): void {
    this.#gone = true;
    const ended = this.#keeping?.finish();
    this.#tellIfCut(ended);
    const { kept = 0, closed = 0 } = ended ?? {};
    if (kept + closed > 0) this.tell({ event: "generation.kept", generation: this.number, kept, closed });
    this.#start?.[Symbol.dispose]();
    this.#files?.remove();
    this.post({ kind: "gone", gen: this.number });
  }
}
