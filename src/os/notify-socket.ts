/**
 * A private NOTIFY_SOCKET for one generation (sd_notify(3)): a Unix datagram socket that is polled while it boots. The
 * runtime has no datagram API for Unix sockets, and its streams join messages.
 *
 * An abstract name is open to everybody on the machine (/proc/net/unix lists it), so what counts is who sent a message,
 * which the kernel says; the name only has to be one that nobody can take before us.
 */
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { type Clock, poll } from "./clock.ts";
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

interface Ear {
  hear(message: Notification): void;
  ignored(sender: Sender): void;
}

export class NotifySocket implements Disposable {
  readonly #fd: number;
  readonly #polling: Disposable;
  readonly #buffer = new Uint8Array(MAX_BYTES);
  #closed = false;
  readonly #ears = new Set<Ear>();
  /** What NOTIFY_SOCKET says: a path, or `@name` of an abstract one. */
  readonly path: string;

  /** `directory`: one that the command may look into; undefined makes an abstract name. Throws SystemError. */
  constructor(
    directory: string | undefined,
    private readonly isTrusted: Trust,
    clock: Clock,
  ) {
    ({ fd: this.#fd, path: this.path } = bindSomewhere(directory));
    this.#polling = poll(clock, POLL_MS, () => {
      // An ear may dispose of us in the middle: then the descriptor is somebody else's.
      for (let i = 0; i < MESSAGES_MAX && this.#ears.size > 0 && !this.#closed; i++) {
        const datagram = recvDatagram(this.#fd, this.#buffer);
        if (datagram === undefined) break;
        this.#tell(datagram.bytes, datagram.sender);
      }
      return "more";
    });
  }

  /** `ignored` learns of messages whose sender may not speak for the generation. */
  listen(hear: Ear["hear"], ignored: Ear["ignored"] = () => {}): Disposable {
    const ear = { hear, ignored };
    this.#ears.add(ear);
    return { [Symbol.dispose]: () => void this.#ears.delete(ear) };
  }

  #tell(bytes: Uint8Array, sender: Sender | undefined): void {
    // Where a uid has no number here the kernel says nobody's, which may well be the command's own user; such a process is
    // outside our pid namespace, too, and has no pid either.
    const isOurs = sender !== undefined && sender.pid > 0 && this.isTrusted(sender);
    const message = parseNotification(new TextDecoder().decode(bytes));
    for (const ear of [...this.#ears]) {
      if (isOurs) ear.hear(message);
      else ear.ignored(sender ?? { pid: 0, uid: -1 });
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
