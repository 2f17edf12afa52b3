/**
 * What the keeper tells its hupwatch by itself, one line for each event. It never waits: a hupwatch that does not read must not keep
 * the command from its answers.
 */
import { close, send, setBlocking } from "../os/libc.ts";
import type { KeeperEvent } from "./protocol.ts";

/** What a hupwatch that does not read may leave unread. */
const UNSENT_MAX = 1000;

export class EventStream {
  #fd: number | undefined;
  readonly #unsent: KeeperEvent[] = [];

  /** To the next `flush` there is something to do. */
  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }

  /** Its descriptor becomes ours, in the place of an earlier one; what was not sent goes there. */
  open(fd: number | undefined): void {
    if (this.#fd !== undefined) close(this.#fd);
    this.#fd = fd;
    if (fd !== undefined) setBlocking(fd, "nonblocking");
  }

  /** Its hupwatch has gone: what was not sent is of no use to another one. */
  end(): void {
    this.open(undefined);
    this.#unsent.length = 0;
  }

  /** Goes with the next `flush`. */
  tell(event: KeeperEvent): void {
    if (this.#fd === undefined || this.#unsent.length >= UNSENT_MAX) return;
    this.#unsent.push(event);
  }

  flush(): void {
    if (this.#fd === undefined) return;
    try {
      for (let next = this.#unsent[0]; next; next = this.#unsent[0]) {
        const line = Buffer.from(`${JSON.stringify(next)}\n`);
        // A line is far shorter than what the socket takes: all of it or nothing.
        if (send(this.#fd, line) === 0) return;
        this.#unsent.shift();
      }
    } catch {
      this.#unsent.length = 0; // it has gone, and its connection tells so, too
    }
  }
}
