/**
 * The world outside the swap machine, played by a model: generations boot, become ready, die and end as real ones do,
 * and every effect is checked against the invariants at the moment it is asked for.
 */
import {
  assertState,
  begin,
  type Effect,
  type Event,
  type Gen,
  type Limits,
  type State,
  step,
} from "../../src/swap/machine.ts";
import { confirm, exited, expired, failed, gone, overdue, ready, resume, rollback, settled } from "./play.ts";

interface Actor {
  /** Its leader runs; a generation that could not be started never had one. */
  alive: boolean;
  ready: boolean;
  /** Its checks are over, well or badly. */
  judged: boolean;
  /** How it was asked to go, in order. */
  retired: string[];
  /** Its whole tree has ended. */
  over: boolean;
  /** Clients were sent to it at some time. */
  reached: boolean;
  /** It has the listeners of this dead one. */
  succeeds: Gen | undefined;
  /** What it writes is still looked at. */
  watched: boolean;
  /** Its listeners are closed. */
  released: boolean;
}

interface Hup {
  at: number;
  /** A later generation was tried, or it was reported why not. */
  answered: boolean;
}

export class World {
  state: State;
  readonly history: Event[] = [];
  readonly actors = new Map<Gen, Actor>();
  readonly ends: Effect[] = [];
  readonly #hups: Hup[] = [];
  #target: Gen = 0;
  #settling: Gen | undefined;
  #awaiting: Gen | undefined;
  /** Confirmed, or there is nothing to confirm. */
  readonly #confirmed = new Set<Gen>();
  /** Each with the one that it was settled from. */
  readonly #settled: { gen: Gen; old: Gen }[] = [];
  #settlingFrom: Gen = 0;
  #ordered = false;
  #now = 0;

  constructor(readonly limits: Limits) {
    const { state, effects } = begin();
    this.state = state;
    for (const effect of effects) this.#observe(effect, undefined);
  }

  /** Takes one event; throws where the machine breaks an invariant. */
  take(event: Event): void {
    this.history.push(event);
    this.#now += 1;
    this.#happen(event);
    const { state, effects } = step(this.state, event, this.limits);
    assertState(state);
    const wasTarget = this.#target;
    for (const effect of effects) this.#observe(effect, event);
    this.state = state;
    this.#checkEverything();
    this.#checkRescue(event, effects, wasTarget);
  }

  /** What really may happen next without a request. */
  possible(): { good: Event[]; bad: Event[] } {
    const good: Event[] = [];
    const bad: Event[] = [];
    if (this.state.phase === "over") return { good, bad };
    for (const [gen, actor] of this.actors) {
      const busy = actor.alive && actor.retired.length === 0;
      if (busy && !actor.judged) {
        good.push(ready(gen));
        // A successor has a deadline.
        if (this.state.phase === "starting" && !this.state.fallen && !this.state.overdue)
          bad.push(overdue(gen));
        bad.push(failed(gen, undefined, this.#now));
      }
      if (busy) bad.push(exited(gen, undefined, this.#now));
      if (actor.retired.length > 0 && actor.alive) good.push(exited(gen, undefined, this.#now));
      if (actor.retired.length > 0 && !actor.alive && !actor.over) good.push(gone(gen));
    }
    if (this.#settling !== undefined) {
      good.push(settled(this.#settling));
      // Its listener could not be put in place: known only after the machine has gone on.
      bad.push(failed(this.#settling, undefined, this.#now));
    }
    if (this.state.phase === "holding") {
      good.push(resume);
      bad.push(failed(this.state.next, undefined, this.#now));
    }
    if (this.#awaiting !== undefined) {
      good.push(expired(this.#awaiting), confirm(this.#awaiting), rollback(this.#awaiting));
    } else if (this.state.phase === "warming" || this.state.phase === "booting") {
      bad.push(rollback(this.state.next));
      if (this.state.phase === "warming") good.push(confirm(this.state.next));
    }
    return { good, bad };
  }

  /** Any request may come at any time, but no process dies twice and no dead tree ends again. */
  allows(event: Event): boolean {
    if (!("gen" in event) || ["settled", "confirm", "rollback", "expired"].includes(event.kind)) return true;
    if (event.kind !== "gone" && event.kind !== "exited" && this.actors.get(event.gen)?.alive !== true)
      return true;
    const { good, bad } = this.possible();
    return [...good, ...bad].some((e) => "gen" in e && e.kind === event.kind && e.gen === event.gen);
  }

  /** When nothing more happens by itself: what must be true of everything that was asked for. */
  checkRest(): void {
    for (const hup of this.#hups)
      if (!hup.answered && !this.#ordered) throw new Error(`I4: the HUP at step ${hup.at} was lost`);
    const { state } = this;
    if (state.phase !== "serving" && state.phase !== "over") throw new Error(`stuck in ${state.phase}`);
    if (this.ends.length !== (state.phase === "over" ? 1 : 0))
      throw new Error(`ended ${this.ends.length} times`);
    const left = state.phase === "over" && state.ending.kind === "left" ? state.ending.serving : undefined;
    for (const [gen, actor] of this.actors) {
      const stays = gen === left || (state.phase === "serving" && gen === state.current);
      if (stays && (!actor.alive || actor.retired.length > 0))
        throw new Error(`${gen} serves and was retired`);
      if (!stays && !actor.over) throw new Error(`I6: ${gen} was forgotten`);
      if (actor.released === stays) throw new Error(`${gen}'s listeners are ${stays ? "closed" : "open"}`);
      if (!stays && actor.retired.length === 0) throw new Error(`I6: ${gen} was never retired`);
    }
  }

  #happen(event: Event): void {
    if (event.kind === "swap") this.#hups.push({ at: this.#now, answered: false });
    // With nobody to leave behind, leaving is stopping.
    const nobody = event.kind === "leave" && this.state.phase === "starting";
    if (event.kind === "stop" || event.kind === "quit" || nobody) this.#ordered = true;
    if (event.kind === "settled" && event.gen === this.#settling)
      this.#settled.push({ gen: event.gen, old: this.#settlingFrom });
    if (event.kind === "confirm" && "next" in this.state && event.gen === this.state.next)
      this.#confirmed.add(event.gen);
    const actor = "gen" in event ? this.actors.get(event.gen) : undefined;
    if (!actor) return;
    if (event.kind === "ready") Object.assign(actor, { ready: actor.alive && !actor.judged, judged: true });
    if (event.kind === "failed") actor.judged = true;
    if (event.kind === "exited") Object.assign(actor, { alive: false, judged: true });
    if (event.kind === "gone") actor.over = true;
  }

  #observe(effect: Effect, event: Event | undefined): void {
    switch (effect.do) {
      case "boot": {
        this.actors.set(effect.gen, {
          ...{ alive: true, ready: false, judged: false, retired: [], over: false },
          ...{
            reached: effect.public || effect.isHeld === true,
            succeeds: effect.succeeds,
            watched: true,
            released: false,
          },
        });
        if (effect.public) this.#target = effect.gen;
        for (const hup of this.#hups) hup.answered = true;
        this.#oneUnready();
        break;
      }
      case "hold":
        if (this.actors.has(effect.gen)) break;
        this.actors.set(effect.gen, {
          ...{ alive: false, ready: false, judged: true, retired: [], over: false },
          ...{ reached: true, succeeds: undefined, watched: true, released: false },
        });
        this.#target = effect.gen;
        break;
      case "steer":
        this.#target = effect.to;
        this.#actor(effect.to).reached = true;
        break;
      case "settle":
        this.#settling = effect.next;
        this.#settlingFrom = effect.old;
        break;
      case "give-back":
        if (!this.#actor(effect.old).over) throw new Error(`${effect.old} lives and is passed on from`);
        this.#settling = effect.next;
        this.#settlingFrom = effect.old;
        break;
      case "await":
        if (!effect.isJudged && !this.#isConfirmed(effect.gen))
          throw new Error(`I9: ${effect.gen} is kept on its own and was not confirmed`);
        this.#awaiting = effect.gen;
        break;
      case "unsettle":
        this.#settling = undefined;
        this.#awaiting = undefined;
        break;
      case "unwatch":
        if (!this.#actor(effect.gen).ready) throw new Error(`${effect.gen} has proved nothing yet`);
        this.#actor(effect.gen).watched = false;
        break;
      case "rescue":
        if (this.#actor(effect.gen).alive) throw new Error(`${effect.gen} is rescued from, but lives`);
        if (effect.gen === this.#target) throw new Error(`${effect.gen}'s clients are passed on to itself`);
        break;
      case "release":
        if (!this.#actor(effect.gen).over) throw new Error(`I3: ${effect.gen} loses its listeners and lives`);
        if (this.#actor(effect.gen).released) throw new Error(`${effect.gen} is released twice`);
        this.#actor(effect.gen).released = true;
        break;
      case "retire":
        this.#retire(effect.gen, effect.how, event);
        break;
      case "forward":
        if (!this.#actor(effect.gen).ready)
          throw new Error(`a signal for ${effect.gen}, which does not serve`);
        break;
      case "report":
        if (effect.report.event === "rolled-back") this.#rolledBack(effect.report.to);
        if (["ignored", "crashed", "start-failed"].includes(effect.report.event))
          for (const hup of this.#hups) hup.answered = true;
        break;
      case "end":
        this.ends.push(effect);
    }
  }

  #retire(gen: Gen, how: string, event: Event | undefined): void {
    const actor = this.#actor(gen);
    const order = event?.kind === "leave" || event?.kind === "stop" || event?.kind === "quit";
    if (actor.alive && gen === this.#target && !order && this.#othersCould(gen))
      throw new Error(`I3: ${gen} is retired (${how}) while clients are sent to it`);
    // Only a stop of the whole spares the old one no time: a replaced one drains, also where hupwatch is leaving.
    if (how === "graceful" && event?.kind !== "stop" && !this.#ordered)
      throw new Error(`${gen} is stopped and does not drain`);
    if (how === "drain" && !order) {
      if (!this.#settled.some(({ old }) => old === gen) && !isUnreachable(event))
        throw new Error(`I2: ${gen} was asked to stop before a successor had settled`);
      if (this.#target > gen && !this.#isConfirmed(this.#target) && !isUnreachable(event))
        throw new Error(`I9: ${gen} was asked to stop, and ${this.#target} was not confirmed`);
    }
    if (how === "sweep" && actor.alive) throw new Error(`I2: ${gen} is swept, but its leader lives`);
    if (how === "abandon" && actor.ready && !order && event?.kind !== "failed")
      throw new Error(`I2: ${gen} was ready and is given up`);
    const isOverdue = this.state.phase === "starting" && (this.state.overdue || event?.kind === "overdue");
    // One that was not ready in time in a dead one's place had no client: it is killed, so that the next one may boot (I1).
    const isInTheWay = event?.kind === "failed" && event.gen === gen;
    if (how === "kill" && !order && actor.retired.length === 0 && !isOverdue && !isInTheWay)
      throw new Error(`I2: ${gen} is killed and was never asked`);
    actor.retired.push(how);
  }

  #isConfirmed(gen: Gen): boolean {
    return this.limits.confirmMs === undefined || this.#confirmed.has(gen);
  }

  /** The first generation fails with nobody to turn to. */
  #othersCould(gen: Gen): boolean {
    return [...this.actors].some(([g, a]) => g !== gen && a.alive && a.ready && a.retired.length === 0);
  }

  #rolledBack(to: Gen): void {
    if (this.#actor(to).retired.length > 0) throw new Error(`I8: rolled back to ${to}, which was retired`);
    if (this.#target !== to) throw new Error(`I8: rolled back to ${to}, but clients go to ${this.#target}`);
  }

  #checkEverything(): void {
    // The dead are only swept, and what was killed is as good as dead: they do not count.
    const drains = (actor: Actor) => actor.alive && !actor.retired.includes("kill");
    const draining = this.state.draining.filter((gen) => drains(this.#actor(gen)));
    if (draining.length > this.limits.maxDraining && this.state.phase !== "stopping")
      throw new Error(`${draining.join(", ")} drain, beyond the limit`);
  }

  /** After each event: what must have been asked for, and what must have ended. */
  #checkRescue(event: Event, effects: readonly Effect[], wasTarget: Gen): void {
    const { state } = this;
    const isGivingBack = state.phase === "rolling-back" && state.leaving?.isGone === true;
    const settles = state.phase === "warming" || state.phase === "flipping-back" || isGivingBack;
    if (!settles && this.#settling !== undefined) throw new Error(`${state.phase}, and the warm-up goes on`);
    if ((state.phase === "warm") !== (this.#awaiting !== undefined))
      throw new Error(`${state.phase}, and its time is ${this.#awaiting ? "not " : ""}over`);
    if (state.phase === "serving" && this.#actor(state.current).watched)
      throw new Error(`${state.current} serves and is still watched`);
    if (event.kind !== "exited" && event.kind !== "gone") return;
    const actor = this.actors.get(event.gen);
    const target = this.actors.get(this.#target);
    const isServing = target?.alive && target.ready && target.retired.length === 0;
    const hasSuccessor = [...this.actors.values()].some(({ succeeds }) => succeeds === event.gen);
    // One that was given up while it could still end by itself is rescued from when it is gone.
    const isFailed = event.kind === "exited" && state.phase === "rolling-back" && state.failed === event.gen;
    const passesOn = actor?.reached && !hasSuccessor && this.#target !== event.gen && isServing;
    const isDue = passesOn && state.phase !== "over" && (!isFailed || event.gen === wasTarget);
    if (isDue && !effects.some((e) => e.do === "rescue" && e.gen === event.gen))
      throw new Error(`I3: no generation takes over the clients that wait for ${event.gen}`);
  }

  /** What was killed is as good as gone, and the dead are swept. */
  #oneUnready(): void {
    const unready = [...this.actors].filter(([, a]) => a.alive && !a.ready && !a.retired.includes("kill"));
    if (unready.length > 1) throw new Error(`I1: not ready are ${unready.map(([gen]) => gen).join(" and ")}`);
  }

  #actor(gen: Gen): Actor {
    const actor = this.actors.get(gen);
    if (!actor) throw new Error(`there is no generation ${gen}`);
    return actor;
  }
}

/** Its listener could not be put in place, after it was flipped back to. */
const isUnreachable = (event: Event | undefined): boolean => event?.kind === "failed";
