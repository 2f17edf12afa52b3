/**
 * A private NOTIFY_SOCKET for one generation (sd_notify(3)): a Unix datagram socket that is polled while it boots. The
 * runtime has no datagram API for Unix sockets, and its streams join messages.
 */
import { unlinkSync } from "node:fs";
import { type Clock, poll } from "./clock.ts";
import { bindDatagram, close, recv } from "./libc.ts";

export type Notification = Record<string, string>;

const POLL_MS = 10;
const MAX_BYTES = 8192;
/** In one look: what comes faster waits in the socket's queue, and its senders wait with it. */
const MESSAGES_MAX = 100;

export class NotifySocket implements Disposable {
  readonly #fd: number;
  readonly #polling: Disposable;
  readonly #buffer = new Uint8Array(MAX_BYTES);
  #closed = false;
  readonly #ears = new Set<(message: Notification) => void>();

  /** `path` is 107 bytes at most and must not exist; `@name` is abstract. Throws SystemError. */
  constructor(
    readonly path: string,
    clock: Clock,
  ) {
    this.#fd = bindDatagram(path);
    this.#polling = poll(clock, POLL_MS, () => {
      // An ear may dispose of us in the middle: then the descriptor is somebody else's.
      for (let i = 0; i < MESSAGES_MAX && this.#ears.size > 0 && !this.#closed; i++) {
        const n = recv(this.#fd, this.#buffer);
        if (n === undefined) break;
        this.#tell(n);
      }
      return "more";
    });
  }

  listen(ear: (message: Notification) => void): Disposable {
    this.#ears.add(ear);
    return { [Symbol.dispose]: () => void this.#ears.delete(ear) };
  }

  #tell(length: number): void {
    const message = parseNotification(new TextDecoder().decode(this.#buffer.subarray(0, length)));
    for (const ear of [...this.#ears]) ear(message);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#polling[Symbol.dispose]();
    close(this.#fd);
    if (!this.path.startsWith("@")) unlinkSync(this.path);
  }
}

/** Lines of NAME=VALUE; anything else is passed over. */
function parseNotification(text: string): Notification {
  const pairs = text.split("\n").flatMap((line) => {
    const at = line.indexOf("=");
    return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
  });
  return Object.fromEntries(pairs);
}
