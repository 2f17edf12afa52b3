/**
 * The clients that wait in listeners of generations that are gone: they are passed on, and a listener is closed only when the last one
 * has been taken out of it.
 */
import type { Socket } from "node:net";
import type { Gen, Tell } from "../events/service-event.ts";
import type { Listeners } from "../generation/listeners.ts";
import { tellBug } from "../os/aid.ts";
import type { Listener } from "../sockets/held.ts";
import { Rescue } from "../sockets/rescue.ts";

export class Rescues {
  readonly #under = new Map<Listener, Promise<Rescue>>();
  /** The connections that were passed on and live. */
  readonly #passing = new Set<Socket>();
  readonly #releases = new Set<Promise<unknown>>();

  constructor(private readonly tell: Tell) {}

  /** Connections that were passed on are not answered yet. */
  get isPassing(): boolean {
    return this.#passing.size > 0;
  }

  begin(listeners: Listeners): void {
    for (const [{ cutover, address }, listener] of listeners) {
      // A client in a shared listener waits for the serving generation, which accepts from it, too.
      if (cutover.mode !== "steer" || this.#under.has(listener)) continue;
      if (listener.heldBy === "hupwatch" && listener.hasQueued())
        this.#under.set(listener, Rescue.start(listener.fd, address, this.#passing));
    }
  }

  /** Closes them when the last waiting client has been taken out of them, and calls `then`. */
  release(gen: Gen, listeners: Listeners, then: () => void): void {
    const pending = [...listeners].flatMap(([, listener]) => this.#under.get(listener) ?? []);
    if (pending.length === 0) {
      listeners.release();
      then();
      return;
    }
    const finished = pending.map(async (rescue) => (await rescue).finish());
    const release = Promise.allSettled(finished).then((results) => {
      for (const [, listener] of listeners) this.#under.delete(listener);
      listeners.release();
      then();
      const connections = results.map(countOf).reduce((a, b) => a + b, 0);
      if (connections > 0) this.tell({ event: "generation.rescued", generation: gen, connections });
    });
    this.#releases.add(release);
    void release.then(() => this.#releases.delete(release));
  }

  /** All that are under way have ended. */
  finished(): Promise<unknown> {
    return Promise.allSettled(this.#releases);
  }
}

function countOf(result: PromiseSettledResult<number>): number {
  if (result.status === "fulfilled") return result.value;
  tellBug(result.reason);
  return 0;
}
