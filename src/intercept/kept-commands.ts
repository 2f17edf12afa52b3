/**
 * hupwatch's knowledge of the commands that its keeper has started: how they end, what has bound an address below them, where they
 * listen; and what another keeper would need to go on for them. It goes beyond any one keeper.
 */
import { realClock } from "../os/clock.ts";
import { watchForeign } from "../os/foreign.ts";
import { isSame, processOf } from "../os/procfs.ts";
import { sendSignal } from "../os/send-signal.ts";
import { serverBelow } from "../os/server-process.ts";
import type { Child, ExitStatus } from "../os/spawn.ts";
import { HeldCharges } from "./held-charges.ts";
import { type KeeperEvent, type KeeperReply, signalName } from "./protocol.ts";

/** What the command did, as the keeper tells it. */
export type Heard = Exclude<KeeperEvent, { event: "exited" }>;

export class KeptCommands implements Disposable {
  readonly charges = new HeldCharges();
  readonly #exits = new Map<number, PromiseWithResolvers<ExitStatus>>();
  /** By the child that they are below: what has bound an address. */
  readonly #binders = new Map<number, Set<number>>();
  /** By generation: where it listens, of what was given and what is learned. */
  readonly #listening = new Map<number, Set<string>>();
  readonly #childOf = new Map<number, number>();
  /** Children of a keeper that was killed: how they end is seen in /proc. */
  readonly #left = new Set<number>();
  readonly #subscribers = new Set<(heard: Heard) => void>();

  subscribe(subscriber: (heard: Heard) => void): Disposable {
    this.#subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) };
  }

  #tellAll(heard: Heard): void {
    for (const subscriber of [...this.#subscribers]) subscriber(heard);
  }

  trouble(what: string): void {
    this.#tellAll({ event: "trouble", generation: 0, what });
  }

  /** A child of the keeper. */
  has(pid: number): boolean {
    return this.#binders.has(pid);
  }

  /** The keeper has them. The descriptors, for each charge its filter, its listeners and the others, become ours. */
  found(reply: Extract<KeeperReply, { ok: true }>, fds: readonly number[]): void {
    if (!("children" in reply)) return;
    const rest = [...fds];
    for (const { pid, binders } of reply.children) this.#binders.set(pid, new Set(binders));
    for (const { generation, listeners, others, learns } of reply.charges) {
      const [notify = -1, ...own] = rest.splice(0, 1 + listeners.length + others);
      this.charges.add({ generation, notify, listeners, fds: own, learns });
    }
  }

  started(pid: number, generation: number): void {
    this.#binders.set(pid, new Set());
    this.#childOf.set(generation, pid);
  }

  hear(event: KeeperEvent): void {
    if (event.event === "exited") {
      // It tells of those that it has started for us, and of no others.
      if (this.has(event.pid)) this.#exitOf(event.pid).resolve(statusOf(event));
      return;
    }
    if (event.event === "bound") this.#binders.get(this.#childOf.get(event.generation) ?? 0)?.add(event.pid);
    if (event.event === "listening") this.#listeningAt(event.generation).add(event.address);
    if (event.event === "released") this.charges.release(event.generation);
    this.#tellAll(event);
  }

  #listeningAt(generation: number): Set<string> {
    const known = this.#listening.get(generation) ?? new Set<string>();
    this.#listening.set(generation, known);
    return known;
  }

  generationOf(pid: number): number {
    return [...this.#childOf].find(([, child]) => child === pid)?.[0] ?? 0;
  }

  /** It may have ended before this is called. */
  #exitOf(pid: number): PromiseWithResolvers<ExitStatus> {
    const known = this.#exits.get(pid) ?? Promise.withResolvers<ExitStatus>();
    this.#exits.set(pid, known);
    return known;
  }

  /** The keeper was killed: its children are ours now, and their exit status cannot be known. */
  watchLeft(): void {
    for (const pid of this.#binders.keys()) {
      if (this.#left.has(pid)) continue;
      this.#left.add(pid);
      const identity = processOf(pid);
      const exit = this.#exitOf(pid);
      if (!identity) exit.resolve({ code: undefined, signal: undefined });
      else void watchForeign(identity, realClock).exited.then((status) => exit.resolve(status));
    }
  }

  /** As the system has it, but for what only a keeper can do. */
  child(pid: number): Omit<Child, "give" | "forget"> {
    const startTime = processOf(pid)?.startTime;
    const exit = this.#exitOf(pid);
    let isOver = false;
    void exit.promise.then(() => {
      isOver = true;
      this.#exits.delete(pid);
      this.#binders.delete(pid);
      this.#left.delete(pid);
    });
    return {
      pid,
      startTime,
      exited: exit.promise,
      listening: () => this.#listening.get(this.generationOf(pid)) ?? new Set(),
      server: () => {
        const server = serverBelow({ pid, startTime }, this.#binders.get(pid) ?? []);
        return server?.pid === pid ? undefined : server;
      },
      kill(signal) {
        // Its start time may not have been readable (EMFILE): it is the keeper's child as long as its end was not told.
        if (isOver || (startTime !== undefined && !isSame({ pid, startTime }))) return false;
        return sendSignal(pid, signal as NodeJS.Signals);
      },
    };
  }

  [Symbol.dispose](): void {
    this.charges[Symbol.dispose]();
  }
}

const statusOf = ({ code, signal }: Extract<KeeperEvent, { event: "exited" }>): ExitStatus => ({
  code,
  signal: signal === undefined ? undefined : signalName(signal),
});
