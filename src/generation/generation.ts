/**
 * One run of the command: its process, its listeners, its readiness, its end. It owns all of them from `boot` until it
 * posts `gone`, and only ever posts events; what they mean is the machine's business.
 */
import { join } from "node:path";
import type { Failure, Gen, Tell } from "../events/service-event.ts";
import { uidOf } from "../os/accounts.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { poll } from "../os/clock.ts";
import type { Sender } from "../os/libc.ts";
import type { Os } from "../os/os.ts";
import type { OwnListener } from "../os/own-listeners.ts";
import type { Process } from "../os/procfs.ts";
import type { Child, ExitStatus, Interception } from "../os/spawn.ts";
import { generationEnvironment, marksOf } from "../plan/environment.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import { startRequest } from "../plan/start-request.ts";
import { type Listening, listeningCheck } from "../ready/listening.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import { describeExit, describeKill, describeTaken, failureBy } from "./failure.ts";
import { Listeners } from "./listeners.ts";
import { LAST_LINES_LOOK_MS, LAST_LINES_MS, OutputCapture } from "./output-capture.ts";
import { OwnFiles } from "./own-files.ts";
import type { GenerationEvent, Retirement } from "./posts.ts";
import { Preflight } from "./preflight.ts";
import { Readiness } from "./readiness.ts";
import { type RecordedGeneration, type Role, treeQueryOf } from "./record.ts";
import { Takedown } from "./takedown.ts";
import { type Unheld, unheldAmong } from "./unheld.ts";
import { runLine } from "./user-line.ts";

/** Most wrappers end by themselves, with the status of their server. */
const WRAPPER_LOOK_MS = 50;
/** A look reads /proc of each process of the generation. */
const ACCEPTS_LOOK_MS = 50;
/** So long it is believed that a user has no process in the generation. */
const STRANGER_MS = 100;

const AGE: Aid = {
  what: "a look at the age of a process",
  loss: "no directory counts as one that its generation has made",
};
const USER: Aid = {
  what: "a look at the user of a process",
  loss: "it counts as the command's",
};

const FORGETTING: Aid = {
  what: "a word to the keeper that an address is given up",
  loss: "a later bind of that address by this generation gets a listener that no client reaches",
};

const OWN_ADDRESSES: Aid = {
  what: "a look at where the command listens",
  loss: "addresses that hupwatch does not hold are not named",
};

export interface Boot {
  /** No other generation serves or has served: the first start, not the successor of a dead generation. */
  isFirst: boolean;
  /** It takes a dead one's place: there is no time for --preflight, which its predecessor has passed. */
  isReplacement: boolean;
  /** Where nothing tells whether it accepts, the old one stays so long after its checks have passed. */
  unprovenMs: number;
}

export class Generation {
  readonly listeners: Listeners;
  #child: Child | undefined;
  #exit: ExitStatus | undefined;
  #boot: Boot | undefined;
  /** Signals, by hupwatch. */
  readonly #sent = new Set<string>();
  #startedAt: number;
  #readyMs: number | undefined;
  #isSeenAccepting = false;
  /** As the times of files are. */
  #seenAtMs = 0;
  #delay: Disposable | undefined;
  #preflight: Preflight | undefined;
  #readiness: Readiness | undefined;
  /** No other process can answer at its listeners. Those of a dead generation are shared with its workers while these live. */
  #mayBeProbed = true;
  #capture: OutputCapture | undefined;
  readonly #takedown: Takedown;
  #gone = false;
  /** What its environment says: an adopted one was started by another hupwatch. */
  #hupwatchPid: number;
  /** Of its leader, as last seen: a command may start as root and become another user by itself. */
  #uid: number | undefined;
  /** Of `--user`, else our own. */
  readonly #commandUid: number | undefined;
  /** Users that sent notifications and have no process here, and until when that is believed. */
  readonly #strangers = new Map<number, number>();
  #files: OwnFiles | undefined;

  constructor(
    readonly number: Gen,
    private readonly plan: RunPlan,
    held: readonly HeldSocket[],
    private readonly os: Os,
    private readonly post: (event: GenerationEvent) => void,
    private readonly tell: Tell,
  ) {
    this.listeners = new Listeners(number, held);
    this.#hupwatchPid = os.pid;
    this.#commandUid = uidOf(plan.user);
    this.#startedAt = os.clock.now();
    this.#takedown = new Takedown({
      clock: os.clock,
      stopSequence: plan.stopSequence,
      untilIdleMs: plan.drainUntilIdleMs,
      isLeaderAlive: () => this.#child !== undefined && this.#exit === undefined,
      signalLeader: (signal) => this.#signalServer(signal),
      tree: () => this.#tree(),
      connections: () => os.watchConnections(() => this.#tree().map(({ pid }) => pid), this.listeners.places),
      signal: (targets, signal, why) => {
        for (const target of targets) os.kill(target, signal);
        this.#signalled(signal, targets, why);
      },
      leftBehind: (processes) => {
        this.listeners.markUnproven();
        tell({ event: "generation.left-behind", generation: number, processes });
      },
      gone: () => this.#finish(),
    });
  }

  /** Whole milliseconds since its start; of one that has no process since its turn came. */
  get ageMs(): number {
    return Math.round(this.os.clock.now() - this.#startedAt);
  }

  /** In clock ticks since boot; undefined where nothing was started. */
  get startTime(): number | undefined {
    return this.#child?.startTime;
  }

  /** Its whole tree, as it is now. */
  get processes(): Process[] {
    return this.#tree();
  }

  /** After how long its checks had passed; undefined while they have not. */
  get readyMs(): number | undefined {
    return this.#readyMs;
  }

  /** Its checks were answered by this generation for sure, or it was seen to accept. */
  get isProven(): boolean {
    return this.listeners.proof || this.#isSeenAccepting;
  }

  /** It is not proven, and nothing that the user asked for says that it is ready. */
  get isUnproven(): boolean {
    return !this.isProven && !this.plan.isReadinessGiven;
  }

  #signalled(signal: NodeJS.Signals, targets: readonly { pid: number }[], why?: string): void {
    this.#sent.add(signal);
    const pids = targets.map(({ pid }) => pid);
    if (pids.length > 0)
      this.tell({ event: "generation.signalled", generation: this.number, signal, pids, why });
  }

  /** By a signal that it was not sent, or before it was sent any. An end without fault is its own affair. */
  #isUnasked({ code, signal }: ExitStatus): boolean {
    if (signal !== undefined) return !this.#sent.has(signal);
    return this.#sent.size === 0 && code !== 0;
  }

  /** What a later hupwatch has to know of it, from before it runs until it is gone. */
  record(role: Role): RecordedGeneration | undefined {
    if (this.#gone) return undefined;
    return { ...this.#identity, role, listeners: this.listeners.record() };
  }

  /** Opens its listeners, or inherits those of a dead generation. Throws HupwatchError and SystemError. */
  listen(predecessor?: Generation): void {
    const { runDir, extraListener, nonblocking } = this.plan;
    const probePath =
      extraListener && runDir ? join(runDir, `probe-${this.os.pid}-${this.number}`) : undefined;
    this.#mayBeProbed = predecessor === undefined;
    if (predecessor) this.listeners.succeed(predecessor.listeners);
    else this.listeners.open(probePath, nonblocking);
  }

  /** Takes charge of a survivor: a running generation that this process did not start. */
  adopt(survivor: RecordedGeneration): void {
    this.#hupwatchPid = survivor.hupwatchPid;
    this.#files = OwnFiles.presumed(this.plan, this.number);
    this.listeners.adopt(survivor.listeners);
    this.#startedAt = this.os.clock.now();
    this.#child = this.os.adopt(survivor);
    this.#seenAtMs = this.#seenSince(survivor.pid);
    void this.#child.exited.then((status) => this.#onExit(status));
  }

  /** Boots later, unless it is retired before. */
  bootAfter(ms: number, boot: Boot): void {
    this.#delay = this.os.clock.after(ms, () => this.boot(boot));
  }

  /** Starts the command, after --preflight, and probes it until it is ready. Posts `ready`, `failed` or `exited`. */
  boot(boot: Boot): void {
    this.#startedAt = this.os.clock.now();
    if (boot.isReplacement || this.plan.preflights.length === 0) this.#orFail(() => this.#start(boot));
    else this.#orFail(() => this.#check(boot));
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
    const preflight = new Preflight(os, plan, generationEnvironment(plan, generation, os.pid), {
      passed: () => this.#orFail(() => this.#start(boot)),
      failed: (failure) => this.#fail(failure),
      linePassed: (command, tookMs) =>
        this.tell({ event: "generation.preflight", generation, command, tookMs }),
    });
    this.#preflight = preflight;
    preflight.begin();
  }

  #start(boot: Boot): void {
    this.#boot = boot;
    const { plan, os } = this;
    const needs = new Set(plan.checks.flatMap((c) => c.needs));
    const capture = new OutputCapture(os, {
      stderr: plan.watchStderr,
      needs,
      // The run directory is ours alone: a command that may have another user, or become another one, could not reach it.
      notifyDirectory: plan.user === undefined && this.#commandUid !== 0 ? plan.runDir : undefined,
      isTrusted: (sender) => this.#maySpeak(sender),
    });
    this.#capture = capture;
    const { sockets, descriptors } = this.listeners;
    const request = startRequest(plan, {
      generation: this.number,
      sockets,
      hupwatchPid: os.pid,
      notifySocket: capture.notifySocket,
    });
    this.#files = OwnFiles.of(plan, this.number);
    this.#files.prepare();
    const child = os.spawn({
      ...request,
      descriptors: request.passesDescriptors ? descriptors : [],
      stdout: capture.descriptor(1),
      stderr: capture.descriptor(2),
      interception: this.#interception,
    });
    this.#child = child;
    this.#seenAtMs = this.#seenSince(child.pid);
    this.#startedAt = os.clock.now();
    this.tell({ event: "generation.started", generation: this.number, pid: child.pid });
    void child.exited.then((status) => this.#onExit(status));
    // If hupwatch dies, no listener may leave its group before this generation does: the others would be renumbered.
    capture.begin({
      account: plan,
      env: { ...plan.environment, ...marksOf(plan, this.number, os.pid) },
      // Of an intercepted one the keeper has them.
      keptOpen: plan.handover === "intercept" ? [] : this.listeners.groupDescriptors,
    });
    const patience = { timeoutMs: plan.readyTimeoutMs, goesOn: boot.isFirst && !plan.isReadyTimeoutGiven };
    const checks = learns(plan) ? [listeningCheck(this.#listening, plan.checks)] : plan.checks;
    this.#readiness = new Readiness(checks, this.#checkContext(capture, request.ownEnvironment), patience, {
      ready: () => this.#passed(boot.unprovenMs),
      failed: ({ reason }) => this.#fail({ reason: `${reason}${this.#elsewhere()}` }),
      overdue: () => this.post({ kind: "overdue", gen: this.number }),
      waiting: (obstacle) => {
        const { number: generation, ageMs } = this;
        this.tell({
          event: "generation.waiting",
          generation,
          ageMs,
          obstacle: `${obstacle}${this.#elsewhere()}`,
        });
      },
    });
    if (this.#mayBeProbed) this.#readiness.probe();
  }

  /** No process is left of the generations whose listeners it got. */
  probe(): void {
    this.#mayBeProbed = true;
    this.#readiness?.probe();
  }

  #checkContext(capture: OutputCapture, own: Record<string, string>) {
    const { probed } = this.listeners;
    const socket = probed[0]?.privatePath;
    const env = { ...own, ...(socket ? { HUPWATCH_SOCKET: socket } : {}) };
    return {
      clock: this.os.clock,
      listeners: probed,
      onLine: capture.onLine,
      onNotify: capture.onNotify,
      run: (line: string) => runLine(this.os, this.plan, line, { env }),
    };
  }

  /**
   * Its checks have passed. Where another generation may have answered them, it is not replaced before this one is seen to
   * accept, or so much time has passed that a start like the last one is over.
   */
  #passed(unprovenMs: number): void {
    if (this.isProven || this.plan.isReadinessGiven || this.plan.sockets.length === 0) {
      this.#ready();
      return;
    }
    const { clock } = this.os;
    const giveUpAt = clock.now() + unprovenMs;
    this.#delay = poll(clock, ACCEPTS_LOOK_MS, () => {
      const pids = this.#tree().map(({ pid }) => pid);
      this.#isSeenAccepting = this.listeners.inodes.every((inode) => this.os.accepts(pids, inode));
      if (!this.#isSeenAccepting && clock.now() < giveUpAt) return "more";
      this.#ready();
      return "enough";
    });
  }

  get #interception(): Interception | undefined {
    const { plan, listeners } = this;
    if (plan.handover !== "intercept") return undefined;
    const { backlog } = plan.socketOptions;
    return { ...listeners.interception, learns: learns(plan) ? { backlog } : undefined };
  }

  /** What is seen of it where its addresses are learned. */
  get #listening(): Listening {
    const isListening = (socket: HeldSocket) =>
      this.#child?.listening?.().has(format(socket.address)) === true;
    const all = () => [...this.listeners];
    return {
      listeners: () => all().flatMap(([socket, listener]) => (isListening(socket) ? [listener] : [])),
      missing: () => all().flatMap(([socket]) => (isListening(socket) ? [] : [format(socket.address)])),
    };
  }

  /** It listens at an address that was unknown so far: from now on that is held. */
  learn(socket: HeldSocket): void {
    this.listeners.learn(socket);
  }

  #ready(): void {
    const listening = this.#child?.listening?.();
    if (learns(this.plan) && listening) {
      const dropped = this.listeners.keepOnly(({ address }) => listening.has(format(address)));
      if (dropped.length > 0) orWithout(FORGETTING, () => this.#child?.forget?.(dropped), undefined);
    }
    this.#readyMs = this.ageMs;
    this.post({ kind: "ready", gen: this.number });
  }

  #fail(failure: Failure): void {
    this.#readiness?.[Symbol.dispose]();
    this.post({
      kind: "failed",
      gen: this.number,
      failure: this.#withLines(failure),
      at: this.os.clock.now(),
    });
  }

  #withLines(failure: Failure): Failure {
    const stderr = this.#capture?.lastLines;
    if (stderr === undefined || stderr.length === 0) return failure;
    const reason = `${failure.reason}${describeTaken(stderr, this.listeners.addresses)}`;
    return { ...failure, reason, stderr };
  }

  #onExit(status: ExitStatus): void {
    this.#exit = status;
    this.#delay?.[Symbol.dispose]();
    this.#readiness?.[Symbol.dispose]();
    const isUnasked = this.#isUnasked(status);
    // While it is looked at, another one serves.
    const isSuccessor = this.#boot?.isFirst === false && this.#capture !== undefined;
    const killed = isUnasked ? describeKill(status, isSuccessor) : "";
    const reason = `${describeExit(status, this.ageMs)}${killed}`;
    const tell = () => {
      const wasBegun = this.#takedown.begun;
      this.#capture?.[Symbol.dispose]();
      const failure = this.#withLines({ reason, exit: status, isUnasked });
      this.post({ kind: "exited", gen: this.number, failure, at: this.os.clock.now() });
      if (wasBegun) this.#takedown.sweep();
    };
    const { clock } = this.os;
    const giveUpAt = clock.now() + LAST_LINES_MS;
    const capture = this.#capture;
    if (!capture || capture.isOver) {
      tell();
      return;
    }
    // Its last lines are on their way through the relay, and no client is served worse for the wait.
    this.#delay = poll(clock, LAST_LINES_LOOK_MS, () => {
      if (!capture.isOver && clock.now() < giveUpAt) return "more";
      tell();
      return "enough";
    });
  }

  /** Why it does not answer, most often: it ignores the listener that it was given, and has opened one of its own. */
  #elsewhere(): string {
    const own = this.plan.sockets.length > 0 ? this.unheld().map(({ address }) => address) : [];
    if (own.length === 0) return "";
    return `; it listens on ${own.join(", ")} by itself; to fix: let it take its descriptor ({fd}, LISTEN_FDS), or --handover intercept`;
  }

  /** Where it listens by itself, besides what it was given. None where that cannot be looked at: no step depends on it. */
  unheld(): Unheld[] {
    return orWithout(OWN_ADDRESSES, () => this.#lookForUnheld(), []);
  }

  #lookForUnheld(): Unheld[] {
    const { os, listeners } = this;
    // Its relay keeps the listeners of whole groups open.
    const given = new Set([...listeners.inodes, ...listeners.groupInodes]);
    const paths = new Set(listeners.privatePaths);
    const isGiven = ({ inode, at }: OwnListener) => given.has(inode) || ("name" in at && paths.has(at.name));
    const own = os.listenersOf(this.#tree().map(({ pid }) => pid)).filter((listener) => !isGiven(listener));
    return unheldAmong(own, this.#seenAtMs);
  }

  /**
   * Sends a signal to the leader alone: servers pass on to their workers what those should have. Returns why it was not sent, if it
   * was not: except for WINCH, the default action of every forwarded signal is to terminate or stop the process (signal(7)).
   */
  forward(signal: NodeJS.Signals): string | undefined {
    const child = this.#child;
    if (!child) return undefined;
    const server = child.server?.();
    const { pid } = server ?? child;
    if (signal !== "SIGWINCH" && !this.os.expects(pid, signal))
      return `process ${pid} of generation ${this.number} does not have a handler for it and would not survive it`;
    this.#sent.add(signal);
    if (server) this.os.kill(server, signal);
    else child.kill(signal);
    return undefined;
  }

  /** A wrapper in front of the server gets its signal when the server has gone. */
  #signalServer(signal: NodeJS.Signals): void {
    const child = this.#child;
    if (!child) return;
    const server = child.server?.();
    if (server) this.os.kill(server, signal);
    else child.kill(signal);
    this.#signalled(signal, [server ?? child]);
    if (!server) return;
    this.#delay?.[Symbol.dispose]();
    this.#delay = poll(this.os.clock, WRAPPER_LOOK_MS, () => {
      if (child.server?.()) return "more";
      child.kill("SIGTERM");
      return "enough";
    });
  }

  /** It is proven: its output is not captured any more. */
  unwatch(): void {
    this.#capture?.[Symbol.dispose]();
    this.#capture = undefined;
  }

  /** Takes it down; posts `gone` when its whole tree has ended. Called again, only "kill" changes anything. */
  retire(how: Retirement): void {
    if (this.#gone) return;
    this.#delay?.[Symbol.dispose]();
    this.#preflight?.[Symbol.dispose]();
    this.#readiness?.[Symbol.dispose]();
    this.#takedown.begin(how);
  }

  #seenSince(pid: number): number {
    return orWithout(AGE, () => this.os.seenAtMs(pid), undefined) ?? 0;
  }

  get #identity() {
    const { pid = 0, startTime = 0 } = this.#child ?? {};
    if (this.#child && !this.#exit)
      this.#uid = orWithout(USER, () => this.os.uidOf({ pid, startTime }), undefined) ?? this.#uid;
    return { number: this.number, hupwatchPid: this.#hupwatchPid, pid, startTime, uid: this.#uid };
  }

  #tree(): Process[] {
    if (!this.#child) return [];
    return this.os.tree(treeQueryOf(this.#identity, [this.#commandUid]));
  }

  /**
   * The user of the command, or root, and none of its processes in particular: systemd-notify(1) is gone before
   * it can be looked up. Behind gosu(1) or su-exec the command has a user that no option names: that of any process of its tree.
   */
  #maySpeak({ uid }: Sender): boolean {
    if (uid === 0 || uid === this.#commandUid) return true;
    const now = this.os.clock.now();
    // A look costs milliseconds of /proc, and a stranger may send thousands.
    if ((this.#strangers.get(uid) ?? 0) > now) return false;
    if (this.#tree().some((process) => this.os.uidOf(process) === uid)) return true;
    this.#strangers.set(uid, now + STRANGER_MS);
    return false;
  }

  #finish(): void {
    this.#gone = true;
    this.unwatch();
    this.#files?.remove();
    this.post({ kind: "gone", gen: this.number });
  }
}
