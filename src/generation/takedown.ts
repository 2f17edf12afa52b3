/**
 * Takes a generation down: its stop sequence, signal by signal, then the leftover processes of a dead leader. Owned by the
 * generation, which gets `gone` when the whole tree has ended or was reported.
 */
import { formatDuration } from "../duration.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { type Clock, poll } from "../os/clock.ts";
import type { ConnectionWatch } from "../os/connections.ts";
import type { Process } from "../os/procfs.ts";
import { type StopStep, shortened } from "../plan/stop-sequence.ts";
import type { Retirement } from "./posts.ts";
import type { Processes } from "./processes.ts";

/** How long leftover processes of a dead leader may live on before they get TERM, and then KILL. */
const LEFTOVER: readonly StopStep[] = [
  { signal: "SIGTERM", waitMs: 3000 },
  { signal: "SIGKILL", waitMs: 5000 },
];
const AT_ONCE = LEFTOVER.slice(-1);
/** A generation that never served has no clients that would wait for it. */
const ABANDON_CAP_MS = 5000;
/** Far longer than one step takes, on a machine that is overloaded, too. */
const KEEP_MS = 10_000;
/** A dead leader's workers notice by themselves within about a second (gunicorn looks at its parent's pid). */
const LEFTOVER_GRACE_MS = 1500;
const ASK_AGAIN_MS = 100;
const SWEEP_POLL_MS = 50;
/** Most often only the tee of its output is left, which ends when the last writer does. */
const SWEEP_FIRST_MS = 3;

export interface Target {
  clock: Clock;
  stopSequence: readonly StopStep[];
  /**
   * How long a draining generation is left alone while it has connections: some servers cut requests in flight at the stop signal.
   */
  untilIdleMs: number;
  processes: Processes;
  /** Clients' connections that it still holds, idle ones included. */
  connections(): ConnectionWatch;
  /** Its clients' connections live on: `then` is called when the stop signal may be sent, and `goesOn` with each step on the way. */
  keep(then: () => void, goesOn: () => void): void;
  leftBehind(processes: Process[]): void;
  gone(): void;
}

interface Unfinished {
  signal: NodeJS.Signals;
  /** The process table has a handler for it. */
  isHandled: boolean;
}

const CONNECTIONS: Aid = {
  what: "reading the connections of a generation",
  loss: "it gets its stop signal after --drain-until-idle, idle or not",
};
const TREE: Aid = {
  what: "reading the processes of a generation",
  loss: "it is tried again until it succeeds",
};

export class Takedown implements Disposable {
  #how: Retirement | undefined;
  #timer: Disposable | undefined;
  #watch: ConnectionWatch | undefined;
  /** At the last look it had connections. */
  #isBusy = false;
  #unfinished: Unfinished | undefined;

  constructor(private readonly target: Target) {}

  /** The last signal that it was sent while it had connections. */
  get unfinished(): Unfinished | undefined {
    return this.#unfinished;
  }

  get begun(): boolean {
    return this.#how !== undefined;
  }

  /** Called again, only "kill" changes anything. */
  begin(how: Retirement): void {
    if (this.#how === "kill" || (this.#how && how !== "kill")) return;
    this.#how = how;
    if (!this.target.processes.isLeaderAlive) this.sweep();
    else if (how === "kill") this.#take(AT_ONCE);
    else if (how === "abandon") this.#take(shortened(this.target.stopSequence, ABANDON_CAP_MS));
    else if (how === "drain" && this.target.untilIdleMs > 0) this.#awaitIdle(this.target.untilIdleMs);
    else if (how === "drain") this.#keep();
    else this.#take(this.target.stopSequence);
  }

  #keep(): void {
    const { clock, stopSequence, processes } = this.target;
    let hasFollowed = false;
    // Meanwhile it may have been killed, or have ended.
    const isOver = () => hasFollowed || this.#how !== "drain" || !processes.isLeaderAlive;
    const follow = () => {
      if (isOver()) return;
      hasFollowed = true;
      this.#take(stopSequence);
    };
    const goesOn = () => {
      if (!isOver()) this.#wait(clock.after(KEEP_MS, follow));
    };
    // First of all: whatever becomes of its connections, the signal follows.
    goesOn();
    this.target.keep(follow, goesOn);
  }

  #awaitIdle(untilIdleMs: number): void {
    const { clock } = this.target;
    const giveUpAt = clock.now() + untilIdleMs;
    const watch = orWithout(CONNECTIONS, () => this.target.connections(), undefined);
    this.#watch = watch;
    const look = () => {
      const unseen = { isIdle: false, nextMs: untilIdleMs };
      const { isIdle, nextMs } = orWithout(CONNECTIONS, () => watch?.look() ?? unseen, unseen);
      const leftMs = giveUpAt - clock.now();
      this.#isBusy = !isIdle;
      if (isIdle || leftMs <= 0) this.#keep();
      else this.#timer = clock.after(Math.min(nextMs, leftMs), look);
    };
    look();
  }

  /** One signal after the other to the leader; the last, KILL, to every process. The leader's exit ends it. */
  #take(steps: readonly StopStep[], sent?: { signal: string; waitedMs: number }): void {
    const [step, ...rest] = steps;
    if (!step) {
      this.sweep();
      return;
    }
    const why = sent && `it did not end within ${formatDuration(sent.waitedMs)} of ${sent.signal}`;
    const { signal, waitedMs } = sent ?? { signal: step.signal, waitedMs: 0 };
    const next = () => this.#take(rest, { signal, waitedMs: waitedMs + step.waitMs });
    if (step.signal !== "SIGKILL") {
      this.#ask(step, next);
      return;
    }
    // This comes first: the next signal follows whatever happens to this one.
    this.#wait(this.target.clock.after(step.waitMs, next));
    this.target.processes.signal(this.target.processes.all(), "SIGKILL", why);
  }

  /** A signal that the kernel refuses is sent again, since the next one would cut requests. */
  #ask({ signal, waitMs }: StopStep, next: () => void): void {
    const { clock, processes } = this.target;
    this.#wait(clock.after(waitMs, next));
    if (this.#isBusy) this.#unfinished = { signal, isHandled: processes.handles(signal) };
    if (processes.stop(signal) || waitMs <= ASK_AGAIN_MS) return;
    const again = { signal, waitMs: waitMs - ASK_AGAIN_MS };
    this.#wait(clock.after(ASK_AGAIN_MS, () => this.#ask(again, next)));
  }

  /** The leader is dead: what is left gets a moment, then TERM, then KILL. */
  sweep(): void {
    const { clock } = this.target;
    if (orWithout(TREE, () => this.target.processes.all().length === 0, false)) {
      this.#end();
      return;
    }
    const urgent = this.#how === "kill";
    const steps = [...(urgent ? AT_ONCE : LEFTOVER)];
    let nextAt = clock.now() + (urgent ? 0 : LEFTOVER_GRACE_MS);
    const look = () => {
      const left = this.target.processes.all();
      const step = steps[0];
      if (left.length > 0 && clock.now() < nextAt) return "more";
      if (left.length === 0 || !step) {
        if (left.length > 0) this.target.leftBehind(left);
        this.#end();
        return "enough";
      }
      steps.shift();
      nextAt = clock.now() + step.waitMs;
      // The user that has started such a job finds here what became of it.
      const commands = [...new Set(left.map(({ command }) => command))].join(", ");
      this.target.processes.signal(left, step.signal, `${commands}: their leader has ended`);
      return "more";
    };
    this.#wait(poll(clock, SWEEP_POLL_MS, look, SWEEP_FIRST_MS));
  }

  #wait(timer: Disposable): void {
    this[Symbol.dispose]();
    this.#timer = timer;
  }

  #end(): void {
    this[Symbol.dispose]();
    this.target.gone();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }
}
