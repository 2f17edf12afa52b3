/**
 * Addresses on which generations listen besides those that hupwatch holds. Two generations cannot both have one, and a server may silently
 * go without it, so there is a warning.
 */
import type { Gen, Tell } from "../events/service-event.ts";
import type { Unheld } from "../generation/unheld.ts";

export class OwnAddresses {
  readonly #of = new Map<Gen, readonly Unheld[]>();
  #told = "";

  constructor(private readonly tell: Tell) {}

  /** The generation serves now. An address that the previous one had, too, is not reported again. */
  serves(generation: Gen, unheld: readonly Unheld[]): void {
    this.#of.set(generation, unheld);
    const addresses = unheld.map(({ address }) => address);
    const text = addresses.join(" ");
    if (text !== this.#told && unheld.length > 0)
      this.tell({ event: "generation.unheld", generation, unheld });
    this.#told = text;
  }

  /** A generation has gone, and with it what it listened on; `serving`: the one that serves, and where it is reached now. */
  gone(generation: Gen, serving: { generation: Gen; addresses: readonly string[] } | undefined): void {
    const before = this.#of.get(generation) ?? [];
    this.#of.delete(generation);
    if (!serving) return;
    const now = new Set(serving.addresses);
    const lost = before.map(({ address }) => address).filter((address) => !now.has(address));
    if (lost.length > 0)
      this.tell({
        event: "generation.address-lost",
        generation: serving.generation,
        before: generation,
        addresses: lost,
      });
  }

  has(generation: Gen): boolean {
    return (this.#of.get(generation)?.length ?? 0) > 0;
  }
}
