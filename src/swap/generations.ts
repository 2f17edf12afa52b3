/** The generations that are there, and which of them new connections go to. Owns both; what becomes of them is the machine's business. */
import type { Gen } from "../events/service-event.ts";
import type { Generation } from "../generation/generation.ts";
import type { RecordedGeneration, StartedGeneration } from "../generation/record.ts";
import { roleOf } from "./role.ts";
import type { State } from "./states.ts";

/** An old generation stays so long, at least, beside one of which nothing tells whether it accepts. */
const UNPROVEN_MS = 5000;

export class Generations {
  readonly #living = new Map<Gen, Generation>();
  /** The generation that new connections go to. */
  #public: Gen | undefined;
  /** Clients were sent to it at some time: only then may connections other than our own probes wait in its queue. */
  readonly #reached = new Set<Gen>();

  constructor(private readonly make: (gen: Gen) => Generation) {}

  create(gen: Gen): Generation {
    const generation = this.make(gen);
    this.#living.set(gen, generation);
    return generation;
  }

  /** Takes charge of a survivor, which has the clients. */
  adopt(survivor: StartedGeneration): void {
    const generation = this.create(survivor.number);
    generation.adopt(survivor);
    this.#isPublic(generation);
  }

  get living(): ReadonlyMap<Gen, Generation> {
    return this.#living;
  }

  get all(): Generation[] {
    return [...this.#living.values()];
  }

  get(gen: Gen | undefined): Generation | undefined {
    return gen === undefined ? undefined : this.#living.get(gen);
  }

  /** Where it is gone, its number is still that of the last one that new connections went to. */
  get publicNumber(): Gen | undefined {
    return this.#public;
  }

  get public(): Generation | undefined {
    return this.get(this.#public);
  }

  /** That has the clients, or is to have them. */
  newest(state: State): Generation | undefined {
    return this.get("next" in state ? state.next : "current" in state ? state.current : undefined);
  }

  owns(pid: number): boolean {
    return this.all.some(({ processes }) => processes.pids().includes(pid));
  }

  /** New connections go to it from now on. Throws SystemError. */
  steerTo(generation: Generation): void {
    for (const [socket, listener] of generation.listeners) socket.steerTo(listener);
    this.#isPublic(generation);
  }

  #isPublic({ number }: Generation): void {
    this.#public = number;
    this.#reached.add(number);
  }

  /** No client is passed on where a successor has its listeners, where the flip away from it failed, or none ever reached it. */
  mayBeRescued({ number, listeners }: Generation): boolean {
    return !listeners.hasSuccessor && number !== this.#public && this.#reached.has(number);
  }

  /**
   * Its tree is gone. A successor is probed when all generations that had its listeners are: a leftover process could answer in
   * its place.
   */
  remove(gen: Gen): Generation | undefined {
    const generation = this.#living.get(gen);
    this.#living.delete(gen);
    this.#reached.delete(gen);
    if (!this.all.some(({ listeners }) => listeners.hasSuccessor)) for (const one of this.all) one.probe();
    return generation;
  }

  /**
   * So long the old one stays beside an unproven one: enough for a start like the last ones, and no longer than a start may take at all. Of one
   * that listens nowhere most of that was such a wait.
   */
  unprovenMs(readyTimeoutMs: number): number {
    const readyMs = this.all.map(({ doubt, readyMs = 0 }) => (doubt === "nowhere" ? 0 : readyMs));
    return Math.min(readyTimeoutMs, Math.max(UNPROVEN_MS, 2 * Math.max(0, ...readyMs)));
  }

  record(state: State): RecordedGeneration[] {
    return this.all.flatMap((generation) => generation.record(roleOf(generation.number, state)) ?? []);
  }
}
