/**
 * Bun calls nearly every failed connect ECONNREFUSED: on a Unix socket also a full queue (EAGAIN) and a path it may not
 * enter (EACCES), anywhere a process that has no descriptor left (EMFILE). They mean different things, so the kernel is
 * asked again, at once: over TCP for a socket only, for a Unix path by a connect of our own that is closed without a
 * byte. That is not a retry: it carries no request and its result changes only the name of the failure.
 */
import { close, connect, SystemError, socket } from "../os/libc.ts";
import { encode, type SocketAddress } from "../sockets/sockaddr.ts";
import type { Address } from "./target.ts";

/** One look answers for all refusals within it, so that an outage is not met with twice the connects. */
const SHARED_FOR_MS = 1;

export class RefusalOracle {
  #askedAt = Number.NEGATIVE_INFINITY;
  #errno = "ECONNREFUSED";
  readonly #unix: Uint8Array | undefined;

  constructor(address: Address) {
    this.#unix = address.kind === "unix" ? encode(unixAddress(address.path)) : undefined;
  }

  /** The errno behind an ECONNREFUSED that was reported at `now`. */
  errno(now: number): string {
    if (now - this.#askedAt < SHARED_FOR_MS) return this.#errno;
    this.#askedAt = now;
    // Let in now: the room or the listener has come back, and the first word stands.
    this.#errno = this.look() ?? "ECONNREFUSED";
    return this.#errno;
  }

  /** What the kernel says right now; undefined where it has no objection. */
  look(): string | undefined {
    let fd: number | undefined;
    try {
      fd = socket(this.#unix ? "unix" : "inet", "nonblocking");
      if (this.#unix) connect(fd, this.#unix);
      return undefined;
    } catch (error) {
      // One number, two names: which one is found depends on what looked it up.
      if (error instanceof SystemError) return error.errno === "EWOULDBLOCK" ? "EAGAIN" : error.errno;
      throw error;
    } finally {
      if (fd !== undefined) close(fd);
    }
  }
}

/** `path` begins with NUL for an abstract name. */
const unixAddress = (path: string): SocketAddress =>
  path.startsWith("\0") ? { family: "abstract", name: path.slice(1) } : { family: "unix", path };
