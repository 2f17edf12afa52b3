/**
 * One run of the command: its process, its listeners, its readiness, its end. It owns all of them from `boot` until it
 * posts `gone`, and only ever posts events; what they mean is the machine's business.
 */
import { fstatSync } from "node:fs";
import { formatDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";
import { poll } from "../os/clock.ts";
import type { Os } from "../os/os.ts";
import type { Process } from "../os/procfs.ts";
import type { Child, ExitStatus } from "../os/spawn.ts";
import { handOver } from "../sockets/handover.ts";
import type { HeldSocket, Listener } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import { generationEnvironment } from "./environment.ts";
import type { Event, Failure, Gen, Retirement } from "./machine.ts";
import type { RunPlan } from "./plan.ts";
import type { RecordedGeneration, Role } from "./state-file.ts";
import { type StopStep, shortened } from "./stop-sequence.ts";
import type { Survivor } from "./survivors.ts";

/** What is given to processes that a dead leader left behind, before they are asked (TERM) and then killed. */
const LEFTOVER: readonly StopStep[] = [
  { signal: "SIGTERM", waitMs: 3000 },
  { signal: "SIGKILL", waitMs: 5000 },
];
/** A generation that never served has no clients that would wait for it. */
const ABANDON_CAP_MS = 5000;
/** A dead leader's workers notice by themselves within about a second (gunicorn looks at its parent's pid). */
const LEFTOVER_GRACE_MS = 1500;
const SWEEP_POLL_MS = 50;

/** What a generation tells besides events: facts for the log. */
export interface Observer {
  started(gen: Gen, pid: number): void;
  signalled(gen: Gen, signal: string, pids: number[]): void;
  leftBehind(gen: Gen, processes: Process[]): void;
}

export class Generation {
  /** By bind; a survivor may have none for an address that is new. */
  readonly listeners: (Listener | undefined)[] = [];
  #ownsListeners = true;
  #child: Child | undefined;
  #exit: ExitStatus | undefined;
  #startedAt = 0;
  /** Timers and checks that the present stage of its life needs; replaced as a whole. */
  #pending = new DisposableStack();
  #how: Retirement | undefined;
  #gone = false;
  /** What its environment says: an adopted one was started by somebody else. */
  #hupwatchPid: number;

  constructor(
    readonly number: Gen,
    private readonly plan: RunPlan,
    private readonly held: readonly HeldSocket[],
    private readonly os: Os,
    private readonly post: (event: Event) => void,
    private readonly observer: Observer,
  ) {
    this.#hupwatchPid = os.pid;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get startTime(): number | undefined {
    return this.#child?.startTime;
  }

  /** What a later hupwatch has to know of it; undefined before it runs. */
  record(role: Role): RecordedGeneration | undefined {
    if (!this.#child || this.#gone) return undefined;
    const { pid, startTime } = this.#child;
    const listeners = this.listeners.flatMap((l, i) => {
      const held = this.held[i];
      if (!l || !held || l.fd < 0) return [];
      return [{ address: format(held.address), inode: fstatSync(l.fd).ino, privatePath: l.privatePath }];
    });
    return { number: this.number, pid, startTime, role, listeners };
  }

  /** Milliseconds since its start. */
  get age(): number {
    return this.os.clock.now() - this.#startedAt;
  }

  /** Opens its listeners, or inherits those of a dead generation, open as they are. Throws HupwatchError. */
  listen(predecessor?: Generation): void {
    if (predecessor) {
      this.listeners.push(...predecessor.listeners);
      predecessor.#ownsListeners = false;
      return;
    }
    for (const socket of this.held) this.listeners.push(socket.listenFor(this.number));
  }

  /** Takes charge of a survivor: a running generation that this process did not start. */
  adopt(survivor: Survivor): void {
    this.#hupwatchPid = survivor.hupwatchPid;
    this.listeners.push(...this.held.map((h) => h.adopted));
    this.#startedAt = this.os.clock.now();
    this.#child = this.os.adopt(survivor);
    void this.#child.exited.then((status) => this.#onExit(status));
  }

  /** Starts the command and asks it until it is ready. Posts `ready`, `failed` or `exited`. */
  boot(): void {
    try {
      this.#child = this.#spawn();
    } catch (error) {
      if (!(error instanceof HupwatchError)) throw error;
      this.#fail({ reason: error.message, exitCode: error.exitCode });
      return;
    }
    this.#startedAt = this.os.clock.now();
    this.observer.started(this.number, this.#child.pid);
    void this.#child.exited.then((status) => this.#onExit(status));
    this.#awaitReadiness();
  }

  /** Boots later, unless it is retired before. */
  bootAfter(ms: number): void {
    this.#nextStage().use(this.os.clock.after(ms, () => this.boot()));
  }

  get #opened(): Listener[] {
    return this.listeners.filter((l) => l !== undefined);
  }

  #spawn(): Child {
    const { plan } = this;
    const sockets = this.held.map((h, i) => ({
      name: h.spec.name,
      socket: this.listeners[i]?.privatePath ?? format(h.address),
    }));
    const handed = handOver({ mode: plan.handover, words: plan.words, sockets, generation: this.number });
    return this.os.spawn({
      argv: handed.words,
      env: { ...generationEnvironment(plan, this.number, this.os.pid), ...handed.env },
      cwd: plan.directory,
      descriptors: handed.passesDescriptors ? this.#opened.map((l) => l.fd) : [],
      listenPid: handed.listenPid,
      dieWithParent: plan.killAtExit,
    });
  }

  #awaitReadiness(): void {
    const missing = new Map(this.plan.checks.map((check) => [check, "it has not been asked yet"]));
    const { clock } = this.os;
    const stage = this.#nextStage();
    stage.use(
      clock.after(this.plan.readyTimeoutMs, () => {
        const open = [...missing].map(([check, obstacle]) => `${check.label}: ${obstacle}`).join("; ");
        this.#fail({ reason: `not ready within ${formatDuration(this.plan.readyTimeoutMs)} (${open})` });
      }),
    );
    for (const check of [...missing.keys()]) {
      const context = { clock, listeners: this.#opened, note: (o: string) => void missing.set(check, o) };
      const passed = () => {
        missing.delete(check);
        if (missing.size > 0 || stage.disposed) return;
        this.#nextStage();
        this.post({ kind: "ready", gen: this.number });
      };
      stage.use(check.start(context, passed));
    }
  }

  #fail(failure: Failure): void {
    this.#nextStage();
    this.post({ kind: "failed", gen: this.number, failure, at: this.os.clock.now() });
  }

  #onExit(status: ExitStatus): void {
    this.#exit = status;
    this.#nextStage();
    const wasRetiring = this.#how !== undefined;
    this.post({
      kind: "exited",
      gen: this.number,
      failure: { reason: describeExit(status, this.age), exit: status },
      at: this.os.clock.now(),
    });
    if (wasRetiring) this.#sweep();
  }

  /** A signal for the leader alone: servers pass on to their workers what those should have. */
  forward(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Takes it down; posts `gone` when its whole tree has ended. Asked again, only "kill" changes anything. */
  retire(how: Retirement): void {
    if (this.#gone || this.#how === "kill" || (this.#how && how !== "kill")) return;
    this.#how = how;
    if (!this.#child || this.#exit) this.#sweep();
    else if (how === "kill") this.#take([{ signal: "SIGKILL", waitMs: 5000 }]);
    else if (how === "abandon") this.#take(shortened(this.plan.stopSequence, ABANDON_CAP_MS));
    else this.#take(this.plan.stopSequence);
  }

  /** One signal after the other to the leader; the last, KILL, to everybody. The leader's exit ends it. */
  #take(steps: readonly StopStep[]): void {
    const [step, ...rest] = steps;
    if (!step) {
      this.#sweep();
      return;
    }
    if (step.signal === "SIGKILL") this.#signalTree("SIGKILL");
    else {
      this.#child?.kill(step.signal);
      this.observer.signalled(this.number, step.signal, [this.#child?.pid ?? 0]);
    }
    this.#nextStage().use(this.os.clock.after(step.waitMs, () => this.#take(rest)));
  }

  #signalTree(signal: NodeJS.Signals): void {
    const tree = this.#tree();
    for (const process of tree) this.os.kill(process, signal);
    const pids = tree.map((p) => p.pid);
    if (pids.length > 0) this.observer.signalled(this.number, signal, pids);
  }

  #tree(): Process[] {
    if (!this.#child) return [];
    return this.os.tree({
      leader: { pid: this.#child.pid, startTime: this.#child.startTime },
      marks: [`HUPWATCH_PID=${this.#hupwatchPid}`, `HUPWATCH_GENERATION=${this.number}`],
    });
  }

  /** The leader is dead: whoever is left gets a moment, then TERM, then KILL. */
  #sweep(): void {
    if (this.#tree().length === 0) {
      this.#finish();
      return;
    }
    const { clock } = this.os;
    const urgent = this.#how === "kill";
    const steps = [...(urgent ? LEFTOVER.slice(-1) : LEFTOVER)];
    let nextAt = clock.now() + (urgent ? 0 : LEFTOVER_GRACE_MS);
    const look = () => {
      const left = this.#tree();
      const step = steps[0];
      if (left.length > 0 && clock.now() < nextAt) return "more";
      if (left.length === 0 || !step) {
        if (left.length > 0) this.observer.leftBehind(this.number, left);
        this.#finish();
        return "enough";
      }
      steps.shift();
      nextAt = clock.now() + step.waitMs;
      this.#signalTree(step.signal);
      return "more";
    };
    this.#nextStage().use(poll(clock, SWEEP_POLL_MS, look));
  }

  #finish(): void {
    this.#gone = true;
    this.#nextStage();
    this.post({ kind: "gone", gen: this.number });
  }

  #nextStage(): DisposableStack {
    this.#pending.dispose();
    this.#pending = new DisposableStack();
    return this.#pending;
  }

  /** Lets go of its listeners, unless an heir has them. For whoever knows that no client waits in them. */
  releaseListeners(): void {
    if (this.#ownsListeners) for (const listener of this.listeners) listener?.[Symbol.dispose]();
    this.listeners.length = 0;
  }

  /** An heir has its listeners, or will have: nobody else is to touch them. */
  get isInherited(): boolean {
    return !this.#ownsListeners;
  }

  /** Clients of this generation that nobody has accepted yet. */
  hasQueued(): boolean {
    return this.listeners.some((l) => l?.hasQueued());
  }
}

/** One sentence for logs and reasons. */
export function describeExit({ code, signal }: ExitStatus, ageMs: number): string {
  const how = signal ? `was killed by ${signal}` : code === undefined ? "ended" : `exited with code ${code}`;
  return `${how} after ${formatDuration(ageMs)}`;
}
