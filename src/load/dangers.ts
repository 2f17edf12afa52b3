/** The states of a client in which a swap can harm it, and how many were in each at instants that the caller named. */

/**
 * `idle`: a kept connection without a request. `kept`: a request in flight on one. `waiting`: sent on a new connection, and
 * no byte of the answer has come. `half-sent`: a POST of which a part is sent. `silent`: connected, and nothing is sent.
 */
export type Danger = "idle" | "kept" | "waiting" | "half-sent" | "silent";

export interface DangerCount {
  danger: Danger;
  /** The name of the instant, e.g. "flipped". */
  at: string;
  met: number;
  /** Of `met`, those whose request failed. */
  lost: number;
}

export class DangerLog {
  readonly #counts = new Map<string, DangerCount>();

  /** `marks`: what this request has met so far. */
  met(danger: Danger, at: string, marks: Set<string>): void {
    const key = `${danger} ${at}`;
    if (marks.has(key)) return;
    marks.add(key);
    const count = this.#counts.get(key) ?? { danger, at, met: 0, lost: 0 };
    count.met++;
    this.#counts.set(key, count);
  }

  lost(marks: ReadonlySet<string>): void {
    for (const key of marks) {
      const count = this.#counts.get(key);
      if (count) count.lost++;
    }
  }

  get counts(): DangerCount[] {
    return [...this.#counts.values()];
  }
}
