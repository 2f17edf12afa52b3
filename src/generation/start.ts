/**
 * One start of the command, until it is ready or has failed: its process begins, its output is captured, its checks run. If none of them
 * is a proof, it waits until the process is seen to accept. Owned by the generation, which decides what follows.
 */
import { wayOut } from "../error.ts";
import type { Failure, Gen, Tell } from "../events/service-event.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { pollPatiently } from "../os/clock.ts";
import { variablesOf } from "../os/marks.ts";
import type { Os } from "../os/os.ts";
import type { Interception } from "../os/spawn.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import { type StartRequest, startRequest } from "../plan/start-request.ts";
import type { Check, CheckContext } from "../ready/check.ts";
import { type Listening, listeningCheck, REST_MS } from "../ready/listening.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { format } from "../sockets/sockaddr.ts";
import { describeTaken } from "./failure.ts";
import type { Listeners } from "./listeners.ts";
import { OutputCapture } from "./output-capture.ts";
import type { Boot } from "./posts.ts";
import type { Processes } from "./processes.ts";
import { Readiness } from "./readiness.ts";
import { Speakers } from "./speakers.ts";
import { unheldBy } from "./unheld.ts";
import { runLine } from "./user-line.ts";

/** Each look reads /proc for every process of the generation. */
const ACCEPTS_LOOK_MS = 50;

const FORGETTING: Aid = {
  what: "telling the keeper that an address is given up",
  loss: "a later bind of that address by this generation gets a listener that no client reaches",
};

/** The generation that is started. */
export interface Starting {
  gen: Gen;
  plan: RunPlan;
  os: Os;
  tell: Tell;
  listeners: Listeners;
  processes: Processes;
}

export interface Outcome {
  ready(): void;
  /** It was ready without listening anywhere, and accepts now. */
  proven(): void;
  failed(failure: Failure): void;
  overdue(): void;
}

export class Start implements Disposable {
  #capture: OutputCapture | undefined;
  #readiness: Readiness | undefined;
  #acceptance: Disposable | undefined;
  #lastLines: Disposable | undefined;
  #isSeenAccepting = false;
  #isNowhere = false;
  #context: CheckContext | undefined;
  #late: Disposable | undefined;
  #isHttp = false;

  constructor(
    private readonly of: Starting,
    private readonly boot: Boot,
    private readonly outcome: Outcome,
  ) {}

  /** Throws HupwatchError and SystemError. */
  begin(): void {
    const { gen, plan, os, tell, listeners, processes } = this.of;
    const capture = this.#open();
    this.#capture = capture;
    const { sockets, descriptors } = listeners;
    const { notifySocket } = capture;
    const request = startRequest(plan, { generation: gen, sockets, hupwatchPid: os.pid, notifySocket });
    const child = os.spawn({
      ...request,
      descriptors: request.passesDescriptors ? descriptors : [],
      stdout: capture.descriptor(1),
      stderr: capture.descriptor(2),
      interception: this.#interception,
    });
    processes.lead(child);
    tell({ event: "generation.started", generation: gen, pid: child.pid });
    // If hupwatch dies, no listener may leave its group before this generation does: the others would be renumbered.
    capture.begin({
      account: plan,
      env: { ...plan.environment, ...variablesOf({ generation: gen, name: plan.name, hupwatchPid: os.pid }) },
      // Of an intercepted one the keeper has them.
      keptOpen: plan.handover === "intercept" ? [] : listeners.groupDescriptors,
    });
    this.#readiness = this.#check(request, capture);
  }

  #open(): OutputCapture {
    const { plan, os, processes } = this.of;
    const speakers = new Speakers(os, processes);
    return new OutputCapture(os, {
      stderr: plan.watchStderr,
      needs: new Set(plan.checks.flatMap((c) => c.needs)),
      // The run directory is ours alone: a command that may have another user, or become another one, could not reach it.
      notifyDirectory: plan.user === undefined && processes.commandUid !== 0 ? plan.runDir : undefined,
      isTrusted: (sender) => speakers.may(sender),
    });
  }

  #check(request: StartRequest, capture: OutputCapture): Readiness {
    const { gen: generation, plan, tell, processes } = this.of;
    const goesOn = this.boot.isFirst && !plan.isReadyTimeoutGiven;
    const patience = { timeoutMs: plan.readyTimeoutMs, goesOn };
    const context = this.#checkContext(capture, request.ownEnvironment);
    this.#context = { ...context, note() {}, extend() {} };
    return new Readiness(this.#checks, context, patience, {
      ready: () => this.#passed(),
      failed: ({ reason }) => this.outcome.failed({ reason: `${reason}${this.#elsewhere()}` }),
      overdue: () => this.outcome.overdue(),
      waiting: (what) => {
        const obstacle = `${what}${this.#elsewhere()}`;
        tell({ event: "generation.waiting", generation, ageMs: processes.ageMs, obstacle });
      },
    });
  }

  #checkContext(capture: OutputCapture, own: Record<string, string>) {
    const { plan, os, listeners } = this.of;
    const { probed, way } = listeners;
    const env = { ...own, ...way };
    return {
      clock: os.clock,
      listeners: probed,
      answered: () => {
        this.#isHttp = true;
      },
      onLine: capture.onLine,
      onNotify: capture.onNotify,
      run: (line: string) => runLine(os, plan, line, { env }),
    };
  }

  /** No other process can answer at its listeners any more. */
  probe(): void {
    this.#readiness?.probe();
  }

  /**
   * Its checks have passed. If another generation may have answered them, that one is not replaced before this one is seen to accept, or
   * before a start like the last one must be over.
   */
  #passed(): void {
    const { plan, os, listeners, processes } = this.of;
    this.#keepItsOwn();
    const holdsNone = plan.sockets.length === 0 && !learns(plan);
    if (listeners.proof || plan.isReadinessGiven || holdsNone) {
      this.#ready();
      return;
    }
    const giveUpAt = os.clock.now() + this.boot.unprovenMs;
    this.#acceptance = pollPatiently(os.clock, ACCEPTS_LOOK_MS, () => {
      const pids = processes.pids();
      this.#isSeenAccepting = listeners.inodes.every((inode) => os.accepts(pids, inode));
      if (!this.#isSeenAccepting && os.clock.now() < giveUpAt) return "more";
      this.#ready();
      return "enough";
    });
  }

  /** A learned address at which it does not listen stays with the generation that does. */
  #keepItsOwn(): void {
    const { plan, listeners, processes, tell } = this.of;
    const listening = processes.leader?.listening?.();
    if (!learns(plan) || !listening) return;
    const dropped = listeners.keepOnly(({ address }) => listening.has(format(address)));
    if (this.boot.isFirst && listening.size === 0) tell({ event: "socket.none", learns: true });
    if (dropped.length > 0) orWithout(FORGETTING, () => processes.leader?.forget?.(dropped), undefined);
  }

  #ready(): void {
    const { plan, listeners } = this.of;
    this.#isNowhere = listeners.probed.length === 0 && !plan.isHandoverRefused;
    this.outcome.ready();
  }

  /** It listens at a new address. If it was ready without any, it is now checked whether it accepts. */
  listens(): void {
    if (!this.#isNowhere || this.#late || !this.#context) return;
    const there = { ...this.#listening({ isAsked: false }), nowhere: "never" } as const;
    this.#late = listeningCheck(there, []).start(this.#context, () => {
      this.#isNowhere = false;
      this.outcome.proven();
    });
  }

  /** It was ready without having been seen to listen anywhere, and has not been seen to accept since. */
  get isNowhere(): boolean {
    return this.#isNowhere;
  }

  /** It has answered in HTTP/1, without TLS, at its first listener. */
  get isHttp(): boolean {
    return this.#isHttp;
  }

  /** It was seen to accept from its listeners, each of them. */
  get isSeenAccepting(): boolean {
    return this.#isSeenAccepting;
  }

  get #interception(): Interception | undefined {
    const { plan, listeners } = this.of;
    if (plan.handover !== "intercept") return undefined;
    const { backlog } = plan.socketOptions;
    return { ...listeners.interception, learns: learns(plan) ? { backlog } : undefined };
  }

  get #checks(): readonly Check[] {
    const { plan } = this.of;
    if (!learns(plan)) return plan.checks;
    const asksThere = ({ needs }: Check) => needs.includes("socket");
    const asking = plan.checks.filter(asksThere);
    const others = plan.checks.filter((check) => !asksThere(check));
    return [listeningCheck(this.#listening({ isAsked: asking.length > 0 }), asking), ...others];
  }

  /** Whether it is seen to listen and accept, if its addresses are learned. `isAsked`: a check of the user needs an answer there. */
  #listening({ isAsked }: { isAsked: boolean }): Listening {
    const { listeners, processes, plan, os } = this.of;
    const mustListen = plan.isInterceptionRequested || isAsked;
    const isListening = (socket: HeldSocket) =>
      processes.leader?.listening?.().has(format(socket.address)) === true;
    const all = () => [...listeners];
    // A first generation has no older one whose clients could be lost.
    const isRequired = ({ spec }: HeldSocket) => !this.boot.isFirst && spec.isPassing !== true;
    return {
      listeners: () => all().flatMap(([socket, listener]) => (isListening(socket) ? [listener] : [])),
      missing: () =>
        all().flatMap(([socket]) =>
          isListening(socket) ? [] : [{ address: format(socket.address), isRequired: isRequired(socket) }],
        ),
      nowhere: mustListen ? "never" : plan.isReadinessGiven ? "at once" : "at rest",
      restMs: this.#restMs,
      work: () => os.workOf(processes.pids()),
    };
  }

  /**
   * The one before it may be at rest, too, and about to listen: this one would only begin later. It is seen at rest before its own time
   * is up, however short that is.
   */
  get #restMs(): number {
    const { isFirst, isReplacement, unprovenMs } = this.boot;
    if (isFirst || isReplacement) return REST_MS;
    return Math.max(REST_MS, Math.min(unprovenMs, this.of.plan.readyTimeoutMs / 2));
  }

  /** Most often it does not answer because it ignores the listener that it was given, and has opened another. */
  #elsewhere(): string {
    const { plan, os, processes, listeners } = this.of;
    if (plan.sockets.length === 0) return "";
    const own = unheldBy(processes, listeners, os).map(({ address }) => address);
    if (own.length === 0) return "";
    const hint =
      plan.handover === "intercept"
        ? "give that address to --bind, or leave --bind out, and its addresses are learned"
        : "let it take its descriptor ({fd}, LISTEN_FDS), or --handover intercept";
    return `; it listens on ${own.join(", ")} by itself${wayOut(hint)}`;
  }

  /** With its last lines, as far as they have come, and what those mean. */
  withLines(failure: Failure): Failure {
    const stderr = this.#capture?.lastLines;
    if (stderr === undefined || stderr.length === 0) return failure;
    const reason = `${failure.reason}${describeTaken(stderr, this.of.listeners.addresses, this.of.plan)}`;
    return { ...failure, reason, stderr };
  }

  /** While it is looked at, another generation serves. */
  get isBesideAnother(): boolean {
    return !this.boot.isFirst && this.#capture !== undefined;
  }

  /** Its leader has ended. Calls `then` once its last lines are there: they are on their way through the tee. */
  end(failure: Failure, then: (failure: Failure) => void): void {
    this.giveUp();
    const capture = this.#capture;
    const over = () => {
      capture?.[Symbol.dispose]();
      then(this.withLines(failure));
    };
    if (capture) this.#lastLines = capture.awaitEnd(this.of.os.clock, over);
    else over();
  }

  /** It is proven: its output is not captured any more. */
  unwatch(): void {
    this.#capture?.[Symbol.dispose]();
    this.#capture = undefined;
  }

  /** It is taken down or has ended: its checks are over. */
  giveUp(): void {
    this.#readiness?.[Symbol.dispose]();
    this.#acceptance?.[Symbol.dispose]();
    this.#late?.[Symbol.dispose]();
    this.#lastLines?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.giveUp();
    this.unwatch();
  }
}
