/** One zero for everything that is told: the load's milliseconds, the events' time stamps, our own moments. */
export class RunClock {
  readonly zero = performance.now();
  readonly startedAt = new Date();
  /** performance.now() of Unix time 0, by the clock as it stands now: an event's stamp is compared with it. */
  readonly #unixZero = this.zero - Date.now();

  /** Milliseconds since the run began. */
  now(): number {
    return performance.now() - this.zero;
  }

  /** The same for a Unix time in milliseconds. */
  at(unixMs: number): number {
    return this.#unixZero + unixMs - this.zero;
  }

  /** The same for a performance.now(). */
  since(originMs: number): number {
    return originMs - this.zero;
  }
}
