/**
 * Whether memory was short during a swap: the kernel may kill workers of either generation, and their masters start others
 * and say nothing.
 */
import type { Gen, Tell } from "../events/service-event.ts";
import type { OomKills } from "../os/oom.ts";

export class Memory {
  #swap: { to: Gen; before: OomKills | undefined; toldKills: number } | undefined;

  constructor(
    private readonly look: () => OomKills | undefined,
    private readonly tell: Tell,
  ) {}

  swapBegins(to: Gen): void {
    this.#swap = { to, before: this.look(), toldKills: 0 };
  }

  /** The kills so far, if there are more than were reported. `isAlone`: only one generation is left, so a lack of memory is not the swap's. */
  check(isAlone: boolean): void {
    const swap = this.#swap;
    if (!swap?.before) return;
    if (isAlone) this.#swap = undefined;
    const now = this.look();
    if (now?.where !== swap.before.where) return;
    const kills = now.kills - swap.before.kills;
    if (kills <= swap.toldKills) return;
    swap.toldKills = kills;
    this.tell({ event: "memory.short", generation: swap.to, kills, where: now.where });
  }
}
