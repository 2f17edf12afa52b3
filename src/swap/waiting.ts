/**
 * Counts the clients that wait in listeners that no process has, until the deadline. The kernel's queue is limited: a Unix socket refuses
 * the next client, over TCP its packets are dropped and sent again.
 */
import type { Tell } from "../events/service-event.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { type Clock, poll } from "../os/clock.ts";

const LOOK_MS = 250;
const SHARE = 0.8;

const COUNT: Aid = {
  what: "reading how many connections wait",
  loss: "there is no warning before their queue is full",
};

export interface WaitingRoom {
  clock: Clock;
  ms: number;
  listeners: { queues(): { address: string; queued: number }[] };
  /** As many can wait in each. */
  limit: number;
}

export class Waiting implements Disposable {
  readonly #deadline: Disposable;
  readonly #looking: Disposable;
  readonly #told = new Set<string>();

  constructor(
    private readonly room: WaitingRoom,
    over: () => void,
    private readonly tell: Tell,
  ) {
    const { clock, ms } = room;
    this.#deadline = clock.after(ms, over);
    this.#looking = poll(clock, LOOK_MS, () => {
      orWithout(COUNT, () => this.#look(), undefined);
      return "more";
    });
  }

  #look(): void {
    const { listeners, limit } = this.room;
    for (const { address, queued } of listeners.queues()) {
      if (queued < SHARE * limit || this.#told.has(address)) continue;
      this.#told.add(address);
      this.tell({ event: "hold.filling", address, queued, limit });
    }
  }

  [Symbol.dispose](): void {
    this.#deadline[Symbol.dispose]();
    this.#looking[Symbol.dispose]();
  }
}
