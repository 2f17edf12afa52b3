/**
 * Writes lines for a reader that may hang: a terminal after Ctrl-S, a log shipper that was stopped, a journal that is restarted.
 * write(2) would wait for such a reader, and stop all of hupwatch. So no write ever waits. Bytes that are not taken at once are kept, up
 * to a limit, and tried again. Lines beyond the limit are dropped and counted, and a line says so when the reader is back.
 *
 * O_NONBLOCK belongs to the open file, which the command and our starter share: it is never set there.
 */
import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import type { Clock } from "./clock.ts";
import { isWritable, SystemError, send, write } from "./libc.ts";

/** Some hundred lines: a reader that is only slow loses nothing. */
const PENDING_BYTES_MAX = 64 * 1024;
const RETRY_MS = 50;
/** How often the rest is tried at the end, for half a second in all. */
const FAREWELL_LOOKS = 50;
const FAREWELL_LOOK_MS = 10;
/** A pipe that poll(2) calls writable takes so many bytes at once (pipe(7)). */
const PIPE_BUF = 4096;

/** Takes as many bytes as go without waiting, and says how many. Throws SystemError. */
type Take = (bytes: Uint8Array) => number;

export class LineWriter implements Disposable {
  readonly #take: Take;
  /** What the kernel has not taken: the rest of a line first. */
  readonly #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #dropped = 0;
  #retry: Disposable | undefined;
  readonly #close: () => void;

  /** `fd` stays the caller's. `onBack`: the reader has everything that was kept, and so many lines were not. */
  constructor(
    fd: number,
    private readonly clock: Clock,
    private readonly onBack: (dropped: number) => void,
  ) {
    const own = ownDescriptor(fd);
    this.#take = own === undefined ? takerFor(fd) : (bytes) => write(own, bytes);
    this.#close = () => own !== undefined && closeSync(own);
  }

  /** Never waits and never throws. A line that would stand behind a dropped one is dropped, too, until the reader is back. */
  readonly write = (line: string): void => {
    const bytes = Buffer.from(line);
    if (
      this.#dropped > 0 ||
      (this.#pendingBytes > 0 && this.#pendingBytes + bytes.length > PENDING_BYTES_MAX)
    ) {
      this.#dropped++;
      return;
    }
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#retry === undefined) this.#flush();
  };

  readonly #flush = (): void => {
    this.#retry = undefined;
    for (let first = this.#pending[0]; first; first = this.#pending[0]) {
      const taken = this.#takeOf(first);
      this.#pendingBytes -= taken;
      if (taken < first.length) {
        this.#pending[0] = first.subarray(taken);
        this.#retry = this.clock.after(RETRY_MS, this.#flush);
        return;
      }
      this.#pending.shift();
    }
    if (this.#dropped === 0) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.onBack(dropped);
  };

  #takeOf(bytes: Uint8Array): number {
    try {
      return this.#take(bytes);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return bytes.length; // closed, or its disk is full: the service matters more than its log
    }
  }

  [Symbol.dispose](): void {
    for (let look = 0; look < FAREWELL_LOOKS && this.#pending.length > 0; look++) {
      if (look > 0) Bun.sleepSync(FAREWELL_LOOK_MS);
      this.#retry?.[Symbol.dispose]();
      this.#flush();
    }
    this.#retry?.[Symbol.dispose]();
    this.#close();
  }
}

/**
 * Opens the same pipe or terminal again, as an open file of our own that does not wait. Undefined if it is neither, or may not be opened
 * (another user's pipe).
 */
function ownDescriptor(fd: number): number | undefined {
  const stat = statOf(fd);
  if (!stat?.isFIFO() && !stat?.isCharacterDevice()) return undefined;
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
}

/** A file never waits for a reader; whether a pipe or a terminal would is asked first. */
function takerFor(fd: number): Take {
  const stat = statOf(fd);
  if (stat?.isSocket()) return (bytes) => send(fd, bytes);
  if (stat?.isFile()) return (bytes) => write(fd, bytes);
  return (bytes) => (isWritable(fd) ? write(fd, bytes.subarray(0, PIPE_BUF)) : 0);
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined; // closed
  }
}
