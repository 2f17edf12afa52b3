/**
 * Whether memory was short during a swap: the kernel may kill workers of either generation, and their masters start others
 * and say nothing.
 */
import type { Gen, Tell } from "../events/service-event.ts";
import type { OomKills } from "../os/oom.ts";

export class Memory {
  #swap: { to: Gen; before: OomKills | undefined } | undefined;

  constructor(
    private readonly look: () => OomKills | undefined,
    private readonly tell: Tell,
  ) {}

  swapBegins(to: Gen): void {
    this.#swap = { to, before: this.look() };
  }

  /** What was killed since the last look is told. `isAlone`: one generation is left, and what it lacks is its own affair. */
  check(isAlone: boolean): void {
    if (!this.#swap?.before) return;
    const { to, before } = this.#swap;
    if (isAlone) this.#swap = undefined;
    const now = this.look();
    if (!now || now.where !== before.where || now.kills <= before.kills) return;
    if (!isAlone) this.#swap = { to, before: now };
    this.tell({ event: "memory.short", generation: to, kills: now.kills - before.kills, where: now.where });
  }
}
