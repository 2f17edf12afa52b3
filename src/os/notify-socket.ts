/**
 * A private NOTIFY_SOCKET for one generation (sd_notify(3)): a Unix datagram socket that is polled while it boots. The
 * runtime has no datagram API for Unix sockets, and its streams join messages.
 *
 * Every process of the machine can send to an abstract name (/proc/net/unix lists it), so the sender of a message, which the kernel
 * names, decides whether it counts. The name must only be one that no other process can take before us.
 */
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { type Clock, pollPatiently } from "./clock.ts";
import { bindDatagram, close, recvDatagram, type Sender, SystemError } from "./libc.ts";

export type Notification = Record<string, string>;

/** Whether a process may speak for the generation. */
export type Trust = (sender: Sender) => boolean;

const POLL_MS = 10;
const MAX_BYTES = 8192;
/** In one look: what comes faster waits in the socket's queue, and its senders wait with it. */
const MESSAGES_MAX = 100;
/** A hupwatch that was killed leaves its names in the run directory, where they are short: another one of ours may be free. */
const TRIES = 5;

interface Subscriber {
  hear(message: Notification): void;
  ignored(sender: Sender): void;
}

export class NotifySocket implements Disposable {
  readonly #fd: number;
  readonly #polling: Disposable;
  readonly #buffer = new Uint8Array(MAX_BYTES);
  #closed = false;
  readonly #subscribers = new Set<Subscriber>();
  /** What NOTIFY_SOCKET says: a path, or `@name` of an abstract one. */
  readonly path: string;

  /** `directory`: one that the command may look into; undefined makes an abstract name. Throws SystemError. */
  constructor(
    directory: string | undefined,
    private readonly isTrusted: Trust,
    clock: Clock,
  ) {
    ({ fd: this.#fd, path: this.path } = bindSomewhere(directory));
    this.#polling = pollPatiently(clock, POLL_MS, () => {
      let isNew = false;
      // A subscriber may dispose of us in the middle: then the descriptor belongs to something else.
      for (let i = 0; i < MESSAGES_MAX && this.#subscribers.size > 0 && !this.#closed; i++) {
        const datagram = recvDatagram(this.#fd, this.#buffer);
        if (datagram === undefined) break;
        isNew = true;
        this.#tell(datagram.bytes, datagram.sender);
      }
      return isNew ? "news" : "more";
    });
  }

  /** `ignored` learns of messages whose sender may not speak for the generation. */
  subscribe(hear: Subscriber["hear"], ignored: Subscriber["ignored"] = () => {}): Disposable {
    const subscriber = { hear, ignored };
    this.#subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) };
  }

  #tell(bytes: Uint8Array, sender: Sender | undefined): void {
    // Where a uid has no number here the kernel gives that of user nobody, which may well be the command's own user; such a process is
    // outside our pid namespace, too, and has no pid either.
    const isOurs = sender !== undefined && sender.pid > 0 && this.isTrusted(sender);
    const message = parseNotification(new TextDecoder().decode(bytes));
    for (const subscriber of [...this.#subscribers]) {
      if (isOurs) subscriber.hear(message);
      else subscriber.ignored(sender ?? { pid: 0, uid: -1 });
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#polling[Symbol.dispose]();
    close(this.#fd);
    if (!this.path.startsWith("@")) unlinkSync(this.path);
  }
}

function bindSomewhere(directory: string | undefined): { fd: number; path: string } {
  for (let tries = 1; ; tries++) {
    const path =
      directory === undefined
        ? `@hupwatch-notify-${randomHex(16)}`
        : join(directory, `notify-${randomHex(4)}`);
    try {
      return { fd: bindDatagram(path), path };
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== "EADDRINUSE" || tries >= TRIES) throw error;
    }
  }
}

const randomHex = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");

/** Lines of NAME=VALUE; anything else is passed over. */
export function parseNotification(text: string): Notification {
  const pairs = text.split("\n").flatMap((line) => {
    const at = line.indexOf("=");
    return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
  });
  return Object.fromEntries(pairs);
}
