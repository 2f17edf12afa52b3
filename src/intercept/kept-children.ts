/** The commands that the keeper has started, of which it is the parent: their start below the exec helper, and their end. */
import { close } from "../os/libc.ts";
import { drainSignals, signalsAsInput, socketPair, startProgram, takeEnded } from "../os/libc-intercept.ts";
import { awaitFilter } from "./installed-filter.ts";
import type { KeeperEvent, KeeperRequest, KeptChild } from "./protocol.ts";

export interface StartedCommand {
  pid: number;
  /** Its filter's descriptor. */
  notify: number;
  noNewPrivileges: boolean;
  /** To be filled with those that have bound an address below it. */
  binders: Set<number>;
}

export class KeptChildren {
  /** With those that have bound an address below each. */
  readonly #of = new Map<number, Set<number>>();
  /** Readable when a child has ended. */
  readonly ends: number = signalsAsInput(["SIGCHLD"]);

  constructor(private readonly tell: (event: KeeperEvent) => void) {}

  get isEmpty(): boolean {
    return this.#of.size === 0;
  }

  describe(): KeptChild[] {
    return [...this.#of].map(([pid, binders]) => ({ pid, binders: [...binders] }));
  }

  /** `order` is the exec helper's, and `passed` what the command gets as 0, 1, 2, 3, ...; all of them stay the caller's. Throws SystemError. */
  start(
    { helper, helperEnv }: Extract<KeeperRequest, { do: "start" }>,
    order: number,
    passed: readonly number[],
  ): StartedCommand {
    const [ours, theirs] = socketPair("packets");
    let pid: number;
    try {
      const numbers = [...passed, order, theirs];
      const words = [...helper, String(numbers.length - 2), String(numbers.length - 1)];
      pid = startProgram(words, helperEnv, numbers);
    } catch (error) {
      close(ours);
      throw error;
    } finally {
      // Before it is waited for: a helper that ends is seen to have ended.
      close(theirs);
    }
    const binders = new Set<number>();
    this.#of.set(pid, binders);
    try {
      return { pid, ...awaitFilter(ours), binders };
    } finally {
      close(ours);
    }
  }

  reap(): void {
    drainSignals(this.ends);
    for (let ended = takeEnded(); ended; ended = takeEnded()) {
      const { pid, status } = ended;
      if (!this.#of.delete(pid)) continue; // left behind by a command
      const signal = status & 0x7f;
      this.tell({
        event: "exited",
        pid,
        ...(signal === 0 ? { code: (status >> 8) & 0xff } : { signal }),
      });
    }
  }
}
