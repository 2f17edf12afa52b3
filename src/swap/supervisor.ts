/**
 * Runs the machine: one queue of events, one loop that steps and carries effects out. Signals, exits, checks, timers
 * and control requests only ever post. Owns the queue and the state; which generation has the clients is in generations.ts, what is held in
 * addresses.ts, the time that is waited for in pause.ts.
 */
import type { Tell } from "../events/service-event.ts";
import { failureBy } from "../generation/failure.ts";
import { Generation } from "../generation/generation.ts";
import type { Snapshot, StartedGeneration } from "../generation/record.ts";
import { tellBug } from "../os/aid.ts";
import type { Os } from "../os/os.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { HeldSocket } from "../sockets/held.ts";
import { Addresses } from "./addresses.ts";
import { completed } from "./completed.ts";
import { Generations } from "./generations.ts";
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
import { Pause } from "./pause.ts";
import { Rescues } from "./rescues.ts";

/** Where the supervisor reports what happens, and where it records what runs. */
export interface Outside {
  tell: Tell;
  /**
   * Write-ahead: called with what is about to be true before a child is started and before clients are sent elsewhere, so that
   * a start after a kill -9 finds whatever runs; and again after each round of events and at the end.
   */
  record(snapshot: Snapshot): void;
}

export class Supervisor {
  #state: State;
  readonly #queue: Event[] = [];
  #busy = false;
  readonly #generations: Generations;
  readonly #addresses: Addresses;
  readonly #pause: Pause;
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
    const { post } = this;
    const { tell } = outside;
    const { clock } = os;
    this.#first = survivors ? takeOver(survivors.current.number, survivors.last) : begin();
    this.#state = this.#first.state;
    const generations = new Generations((gen) => new Generation(gen, plan, held, os, post, tell));
    this.#generations = generations;
    if (survivors) generations.adopt(survivors.current);
    this.#rescues = new Rescues(tell);
    this.#lookout = new Lookout({ plan, os, held, generations: generations.living, tell });
    this.#pause = new Pause({ plan, clock, generations, post, tell });
    this.#addresses = new Addresses(plan, held, generations, tell, () => this.swap());
  }

  /** Every process of the generation that has the clients. */
  get pids(): readonly number[] {
    return this.#generations.public?.processes.pids() ?? [];
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
      this.#addresses.look();
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
        this.#pause.settle(effect, { isSteered: this.#addresses.areSteered });
        break;
      case "give-back":
        this.#pause.giveBack(effect, () => this.#rescue(effect.old));
        break;
      case "await":
        this.#pause.await(effect);
        break;
      case "unsettle":
        this.#pause.end();
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
        this.#lookout.look(effect, { state: this.#state, serving: this.#generations.publicNumber });
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

  /** True while those that were passed on are not answered. */
  #rescue(gen: Gen): boolean {
    const generation = this.#generations.get(gen);
    if (generation && this.#generations.mayBeRescued(generation)) this.#rescues.begin(generation.listeners);
    return this.#rescues.isPassing;
  }

  /** Its tree is gone: the listeners follow when the last waiting client has been taken out of them. */
  #release(gen: Gen): void {
    const generation = this.#generations.remove(gen);
    if (generation) this.#rescues.release(gen, generation.listeners, () => this.#letGo());
  }

  #letGo(): void {
    const { phase } = this.#state;
    if (phase !== "stopping" && phase !== "over") this.#addresses.letGo();
  }

  /** A generation listens at an address that was unknown so far. False where that generation is over. */
  learned(gen: Gen, socket: HeldSocket): boolean {
    const generation = this.#generations.get(gen);
    const { phase } = this.#state;
    if (!generation || phase === "over") return false;
    this.#addresses.learn(socket, generation);
    const newest = this.#generations.newest(this.#state);
    if (newest && newest.number > gen)
      this.#orFail(newest.number, () => this.#addresses.offer(socket, { to: newest, from: gen, phase }));
    this.outside.record(this.snapshot());
    return true;
  }

  #hold(effect: Extract<Effect, { do: "hold" }>): void {
    const { gen } = effect;
    const isHeld = this.#orFail(gen, () => {
      if (this.#generations.get(gen)) return;
      this.#generations.create(gen).listen();
      this.#steer(gen);
    });
    if (isHeld) this.#pause.hold(effect);
  }

  #boot({ gen, public: isPublic, succeeds, afterMs = 0, isHeld }: Extract<Effect, { do: "boot" }>): void {
    const generation = (isHeld && this.#generations.get(gen)) || this.#generations.create(gen);
    const isOpen = this.#orFail(gen, () => {
      if (!isPublic) this.#lookout.swapBegins(gen);
      if (!isPublic) this.#addresses.requireHeld();
      if (!isHeld) generation.listen(this.#generations.get(succeeds));
      if (isPublic) this.#generations.steerTo(generation);
      // Recorded first: if hupwatch is killed between the fork and the write, the next start can still find the child.
      this.outside.record(this.snapshot());
    });
    if (!isOpen) return;
    const isReplacement = succeeds !== undefined;
    const unprovenMs = this.#generations.unprovenMs(this.plan.readyTimeoutMs);
    const boot = { isFirst: isPublic && !isReplacement, isReplacement, unprovenMs };
    if (afterMs === 0) generation.boot(boot);
    else generation.bootAfter(afterMs, boot);
  }

  #steer(to: Gen): void {
    const generation = this.#generations.get(to);
    if (!generation) return;
    // Recorded before it is done: wherever we are killed, the next hupwatch sends all clients to the generation that the state
    // file names. In the other order it could name one that fails and is being taken down.
    this.#orFail(to, () => {
      this.outside.record(this.snapshot());
      this.#generations.steerTo(generation);
    });
  }

  /** Trouble with sockets is this generation's failure, not the end of the service. False where there was some. */
  #orFail(gen: Gen, act: () => void): boolean {
    try {
      act();
      return true;
    } catch (error) {
      this.post({ kind: "failed", gen, failure: failureBy(error), at: this.os.clock.now() });
      return false;
    }
  }

  /** What runs and what it holds, for a hupwatch that takes over. */
  snapshot(): Snapshot {
    const { last } = this.#state;
    return this.#last ?? { last, generations: this.#generations.record(this.#state) };
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

/** A bug is told, and what follows is done all the same. */
function surviving(act: () => void): void {
  try {
    act();
  } catch (bug) {
    tellBug(bug);
  }
}
