/**
 * hupwatch's own limit of descriptors, raised to the hard one while it has duplicates of connections. What it starts meanwhile has the
 * limit that it was given itself.
 */
import { limitDescriptors } from "../os/libc-kept.ts";

export class OwnLimit {
  #users = 0;
  #given = 0n;

  raise(): void {
    if (this.#users++ === 0) this.#given = limitDescriptors(undefined);
  }

  restore(): void {
    if (this.#users > 0 && --this.#users === 0) limitDescriptors(this.#given);
  }

  /** Starts something. */
  withGiven<T>(start: () => T): T {
    if (this.#users === 0) return start();
    limitDescriptors(this.#given);
    try {
      return start();
    } finally {
      limitDescriptors(undefined);
    }
  }
}
