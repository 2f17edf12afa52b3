/**
 * Runs the machine: one queue of events, one loop that steps and carries effects out. Signals, exits, checks, timers
 * and control requests only ever post. Owns the generations and the held sockets.
 */

import { formatDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";
import type { ServiceEvent, Tell } from "../events/service-event.ts";
import { failureBy } from "../generation/failure.ts";
import { Generation } from "../generation/generation.ts";
import { Judge } from "../generation/judge.ts";
import type { Snapshot, StartedGeneration } from "../generation/record.ts";
import { GIVE_BACK_MS, SETTLE_MS, settle } from "../generation/settle.ts";
import { unswappable } from "../generation/unheld.ts";
import { tellBug } from "../os/aid.ts";
import type { Os } from "../os/os.ts";
import { learns, type RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket, PathNews } from "../sockets/held.ts";
import { maxBacklog } from "../sockets/open.ts";
import { format } from "../sockets/sockaddr.ts";
import { completed } from "./completed.ts";
import { Lookout } from "./lookout.ts";
import {
  assertState,
  begin,
  type Effect,
  type Ending,
  type Event,
  type Gen,
  type Report,
  type State,
  type Step,
  step,
  takeOver,
} from "./machine.ts";
import { Rescues } from "./rescues.ts";
import { roleOf } from "./role.ts";
import { Waiting } from "./waiting.ts";

/** Where the supervisor reports what happens, and where it records what runs. */
export interface Outside {
  tell: Tell;
  /**
   * Write-ahead: called with what is about to be true before a child is started and before clients are sent elsewhere, so that
   * a start after a kill -9 finds whatever runs; and again after each round of events and at the end.
   */
  record(snapshot: Snapshot): void;
}

/** An old generation stays so long, at least, beside one of which nothing tells whether it accepts. */
const UNPROVEN_MS = 5000;

export class Supervisor {
  #state: State;
  readonly #queue: Event[] = [];
  #busy = false;
  readonly #generations = new Map<Gen, Generation>();
  /** The time in which a flip can be taken back. */
  #settling: Disposable | undefined;
  /** The generation that new connections go to. */
  #public: Gen | undefined;
  /** Clients were sent to it at some time: only then may connections other than our own probes wait in its queue. */
  readonly #reached = new Set<Gen>();
  readonly #rescues: Rescues;
  readonly #lookout: Lookout;
  readonly #ended = Promise.withResolvers<Ending>();
  readonly #first: Step;
  /** What ran at the end. By then the descriptors are closed, so later requests get this. */
  #last: Snapshot | undefined;

  constructor(
    private readonly plan: RunPlan,
    private readonly held: HeldSocket[],
    private readonly os: Os,
    private readonly outside: Outside,
    survivors?: { current: StartedGeneration; last: Gen },
  ) {
    this.#rescues = new Rescues(outside.tell);
    this.#first = survivors ? takeOver(survivors.current.number, survivors.last) : begin();
    this.#state = this.#first.state;
    this.#lookout = new Lookout({ plan, os, held, generations: this.#generations, tell: outside.tell });
    if (survivors) {
      this.#create(survivors.current.number).adopt(survivors.current);
      this.#public = survivors.current.number;
      this.#reached.add(survivors.current.number);
    }
    for (const socket of held) this.#keep(socket);
  }

  /** I3: what is done about its public path, from here on by whichever generation's process. */
  #keep(socket: HeldSocket): void {
    const owns = (pid: number) =>
      [...this.#generations.values()].some(({ processes }) => processes.pids().includes(pid));
    socket.keep?.({ owns, renews: true, tell: (news) => this.#tellOfPath(news) });
  }

  #tellOfPath({ what, ...facts }: PathNews): void {
    this.outside.tell({ event: `socket.${what}`, ...facts } as ServiceEvent);
    if (what === "renewed") this.post({ kind: "swap" });
  }

  #create(gen: Gen): Generation {
    const generation = new Generation(gen, this.plan, this.held, this.os, this.post, this.outside.tell);
    this.#generations.set(gen, generation);
    return generation;
  }

  /** Every process of the generation that has the clients. */
  get pids(): readonly number[] {
    const serving = this.#public === undefined ? undefined : this.#generations.get(this.#public);
    return serving?.processes.pids() ?? [];
  }

  swap(): void {
    this.post({ kind: "swap" });
  }

  get state(): State {
    return this.#state;
  }

  /** Starts the first generation. Resolves when hupwatch has nothing left to do. */
  run(): Promise<Ending> {
    this.#work(this.#first.effects);
    return this.#ended.promise;
  }

  /** Safe from anywhere, also from within an effect: events are taken in the order they came. */
  readonly post = (event: Event): void => {
    this.#queue.push(event);
    if (!this.#busy) this.#work([]);
  };

  #work(first: readonly Effect[]): void {
    this.#busy = true;
    for (const effect of first) this.#carryOut(effect);
    do {
      for (let event = this.#queue.shift(); event; event = this.#queue.shift()) this.#take(event);
      if (this.#state.phase === "over") break;
      surviving(() => this.outside.record(this.snapshot()));
      // I3: whatever has just begun, failed or ended may have unlinked a public path, or bound it.
      for (const socket of this.held) socket.look?.();
    } while (this.#queue.length > 0);
    this.#busy = false;
  }

  #take(event: Event): void {
    surviving(() => {
      const { state, effects } = step(this.#state, event, this.plan);
      assertState(state);
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect);
    });
  }

  /** No client is passed on where a successor has its listeners, where the flip away from it failed, or none ever reached it. */
  #rescue(gen: Gen): void {
    const generation = this.#generations.get(gen);
    if (!generation || generation.listeners.hasSuccessor) return;
    if (gen === this.#public || !this.#reached.has(gen)) return;
    this.#rescues.begin(generation.listeners);
  }

  /** Its tree is gone: the listeners follow when the last waiting client has been taken out of them. */
  #release(gen: Gen): void {
    const generation = this.#generations.get(gen);
    this.#generations.delete(gen);
    this.#reached.delete(gen);
    this.#probeSuccessors();
    if (generation) this.#rescues.release(gen, generation.listeners, () => this.#letGo());
  }

  /** A generation listens at an address that was unknown so far. False where that generation is over. */
  learned(gen: Gen, socket: HeldSocket): boolean {
    const generation = this.#generations.get(gen);
    if (!generation || this.#state.phase === "over") return false;
    this.held.push(socket);
    this.#keep(socket);
    this.outside.tell({ event: "socket.learned", address: format(socket.address), generation: gen });
    generation.learn(socket);
    this.#offerTo(this.#newest(), gen, socket);
    this.outside.record(this.snapshot());
    return true;
  }

  /** That has the clients, or is to have them. */
  #newest(): Generation | undefined {
    const state = this.#state;
    const newest = "next" in state ? state.next : "current" in state ? state.current : undefined;
    return newest === undefined ? undefined : this.#generations.get(newest);
  }

  /**
   * An older one has begun to listen there, and only now. One that boots has to, too; of one that was ready without, the flip is taken
   * back; and where the older one is on its way out, its clients wait for this one.
   */
  #offerTo(younger: Generation | undefined, older: Gen, socket: HeldSocket): void {
    if (!younger || younger.number <= older) return;
    const { phase } = this.#state;
    const address = format(socket.address);
    try {
      younger.offer(socket);
      if (phase === "warming" || phase === "warm")
        throw new HupwatchError(
          "swap.late-listener",
          `does not listen at ${address}, where generation ${older} has just begun to`,
        );
      const listener = younger.listeners.of(socket);
      if (listener && this.#public === younger.number) socket.steerTo(listener);
    } catch (error) {
      this.#failed(younger.number, error);
    }
  }

  /** A learned address where no generation listens any more is let go of. */
  #letGo(): void {
    const { phase } = this.#state;
    if (!learns(this.plan) || phase === "stopping" || phase === "over") return;
    const generations = [...this.#generations.values()];
    for (const socket of [...this.held]) {
      if (generations.some(({ listeners }) => listeners.of(socket))) continue;
      this.held.splice(this.held.indexOf(socket), 1);
      socket[Symbol.dispose]();
      this.outside.tell({ event: "socket.released", address: format(socket.address) });
    }
  }

  /** A successor is probed when all generations that had its listeners are gone: a leftover process could answer in its place. */
  #probeSuccessors(): void {
    const generations = [...this.#generations.values()];
    if (generations.some(({ listeners }) => listeners.hasSuccessor)) return;
    for (const generation of generations) generation.probe();
  }

  /** One that fails by a bug does not stop the others: clients are served, and the step ends one way or the other. */
  #carryOut(effect: Effect): void {
    surviving(() => this.#interpret(effect));
  }

  #interpret(effect: Effect): void {
    switch (effect.do) {
      case "boot":
        this.#boot(effect);
        break;
      case "hold":
        this.#hold(effect);
        break;
      case "steer":
        this.#steer(effect.to);
        break;
      case "settle":
        this.#settle(effect);
        break;
      case "give-back":
        this.#giveBack(effect);
        break;
      case "await":
        this.#settling = this.#await(effect);
        break;
      case "unsettle":
        this.#settling?.[Symbol.dispose]();
        this.#settling = undefined;
        break;
      case "unwatch":
        this.#generations.get(effect.gen)?.unwatch();
        break;
      case "retire":
        this.#generations.get(effect.gen)?.retire(effect.how);
        break;
      case "rescue":
        this.#rescue(effect.gen);
        break;
      case "release":
        this.#release(effect.gen);
        break;
      case "forward":
        this.#forward(effect.gen, effect.signal);
        break;
      case "report":
        this.#report(effect.report);
        break;
      case "look":
        this.#lookout.look(effect, { state: this.#state, serving: this.#public });
        break;
      case "end":
        this.#end(effect.ending);
    }
  }

  #report(report: Report): void {
    this.outside.tell(completed(report, (gen) => this.#generations.get(gen)));
  }

  #forward(gen: Gen, what: string): void {
    const why = this.#generations.get(gen)?.processes.forward(what as NodeJS.Signals);
    if (why !== undefined) this.#report({ event: "ignored", what, why });
  }

  /** Its listeners are the clients' waiting room: no process has them yet. */
  #hold({ gen, ms }: Extract<Effect, { do: "hold" }>): void {
    const { clock } = this.os;
    const post = () => this.post({ kind: "resume", why: "deadline" });
    try {
      if (!this.#generations.has(gen)) {
        this.#create(gen).listen();
        this.#steer(gen);
      }
    } catch (error) {
      this.#failed(gen, error);
      return;
    }
    const { listeners } = this.#generations.get(gen) as Generation;
    this.#settling = new Waiting({ clock, ms, listeners, limit: this.#queueLimit }, post, this.outside.tell);
  }

  /** The kernel cuts what was asked for (listen(2)). */
  get #queueLimit(): number {
    return Math.min(this.plan.socketOptions.backlog, maxBacklog());
  }

  #boot({ gen, public: isPublic, succeeds, afterMs = 0, isHeld }: Extract<Effect, { do: "boot" }>): void {
    const generation = (isHeld && this.#generations.get(gen)) || this.#create(gen);
    try {
      if (!isPublic) this.#lookout.swapBegins(gen);
      if (!isPublic) this.#requireHeld();
      if (!isHeld) generation.listen(succeeds === undefined ? undefined : this.#generations.get(succeeds));
      if (isPublic) this.#steerAll(generation);
      // Recorded first: if hupwatch is killed between the fork and the write, the next start can still find the child.
      this.outside.record(this.snapshot());
    } catch (error) {
      this.#failed(gen, error);
      return;
    }
    const isReplacement = succeeds !== undefined;
    const boot = { isFirst: isPublic && !isReplacement, isReplacement, unprovenMs: this.#unprovenMs() };
    if (afterMs === 0) generation.boot(boot);
    else generation.bootAfter(afterMs, boot);
  }

  /** Of an address that the serving one has bound by itself no second copy can have its share. Throws HupwatchError. */
  #requireHeld(): void {
    if (this.plan.sockets.length > 0 || this.plan.isHandoverRefused || this.#public === undefined) return;
    const serving = this.#generations.get(this.#public);
    const unheld = serving?.unheld() ?? [];
    if (unheld.length > 0) throw unswappable(unheld, this.plan);
  }

  /** Long enough for a start like the last ones, and no longer than a start may take at all. */
  #unprovenMs(): number {
    const readyMs = [...this.#generations.values()].map((generation) => generation.readyMs ?? 0);
    return Math.min(this.plan.readyTimeoutMs, Math.max(UNPROVEN_MS, 2 * Math.max(0, ...readyMs)));
  }

  #steer(to: Gen): void {
    const generation = this.#generations.get(to);
    if (!generation) return;
    // Recorded before it is done: wherever we are killed, the next hupwatch sends all clients to the generation that the state
    // file names. In the other order it could name one that fails and is being taken down.
    try {
      this.outside.record(this.snapshot());
      this.#steerAll(generation);
    } catch (error) {
      this.#failed(to, error);
    }
  }

  #steerAll(generation: Generation): void {
    for (const [socket, listener] of generation.listeners) socket.steerTo(listener);
    this.#public = generation.number;
    this.#reached.add(generation.number);
  }

  /** Trouble with sockets is this generation's failure, not the end of the service. */
  #failed(gen: Gen, error: unknown): void {
    this.post({ kind: "failed", gen, failure: failureBy(error), at: this.os.clock.now() });
  }

  #settle({ old, next, warmUp }: Extract<Effect, { do: "settle" }>): void {
    const steered = this.held.some((h) => h.cutover.mode === "steer");
    const hasQueued = () => steered && this.#generations.get(old)?.listeners.hasQueued() === true;
    const ms = Math.max(warmUp ? this.plan.warmupMs : 0, steered ? SETTLE_MS : 0);
    this.#settling = settle(this.os.clock, ms, hasQueued, () => this.post({ kind: "settled", gen: next }));
  }

  /** Those of them that arrive only now are passed on, too. */
  #giveBack({ old, next }: Extract<Effect, { do: "give-back" }>): void {
    const isBusy = () => {
      this.#rescue(old);
      const isQueued = this.#generations.get(old)?.listeners.hasQueued() === true;
      return isQueued || this.#rescues.isPassing;
    };
    const post = () => this.post({ kind: "settled", gen: next });
    this.#settling = settle(this.os.clock, SETTLE_MS, isBusy, post, GIVE_BACK_MS);
  }

  #await({ gen, ms, isJudged }: Extract<Effect, { do: "await" }>): Disposable {
    const { judge } = this.plan;
    const generation = this.#generations.get(gen);
    if (!isJudged || judge === undefined || !generation)
      return this.os.clock.after(ms, () => this.post({ kind: "expired", gen, failure: notWithin(ms) }));
    return new Judge(this.os.clock, ms, judge, (line) => generation.run(line), {
      passed: () => this.post({ kind: "confirm", gen }),
      failed: (reason) => this.post({ kind: "rollback", gen, failure: { reason } }),
    });
  }

  /** What runs and what it holds, for a hupwatch that takes over. */
  snapshot(): Snapshot {
    if (this.#last) return this.#last;
    const { last } = this.#state;
    const generations = [...this.#generations.values()].flatMap(
      (g) => g.record(roleOf(g.number, this.#state)) ?? [],
    );
    return { last, generations };
  }

  #end(ending: Ending): void {
    this.#last = this.snapshot();
    this.outside.record(this.#last);
    // What still waits in listeners of a generation that is gone is passed on first: the sockets close those, too.
    void this.#rescues.finished().then(() => {
      for (const socket of this.held)
        surviving(() => (ending.kind === "left" ? socket.leave() : socket[Symbol.dispose]()));
      this.#ended.resolve(ending);
    });
  }
}

const notWithin = (ms: number) => ({
  reason: `was not confirmed within ${formatDuration(ms)} (--confirm)`,
});

/** A bug is told, and what follows is done all the same. */
function surviving(act: () => void): void {
  try {
    act();
  } catch (bug) {
    tellBug(bug);
  }
}
