/**
 * Takes the status of ended children that this process never started: orphaned processes that became our children because we are PID 1
 * or a subreaper. The runtime waits for its own children, and its promises would break if another wait took one of them. So an ended child is
 * first looked at (waitid with WNOWAIT), and taken only if the runtime did not start it.
 */
import type { Clock } from "./clock.ts";
import { peekEndedChild, reap } from "./libc.ts";
import { isOwnChild } from "./spawn.ts";

/** The runtime takes its own dead within one turn of its event loop; a stranger may be hidden behind one until then. */
const AGAIN_MS = 20;
/** In one look: a tree that forks faster than it is reaped must not keep us from everything else. */
const REAPED_MAX = 200;

export class Reaper implements Disposable {
  #again: Disposable | undefined;

  constructor(private readonly clock: Clock) {}

  /** To be called on every SIGCHLD. */
  readonly look = (): void => {
    this.#again?.[Symbol.dispose]();
    this.#again = undefined;
    for (let reaped = 0; reaped < REAPED_MAX; reaped++) {
      const pid = peekEndedChild();
      if (pid <= 0) return;
      if (isOwnChild(pid)) break;
      reap(pid);
    }
    this.#again = this.clock.after(AGAIN_MS, this.look);
  };

  [Symbol.dispose](): void {
    this.#again?.[Symbol.dispose]();
  }
}
