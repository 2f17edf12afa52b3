/**
 * A non-blocking connection for readiness checks, made with raw system calls so that its source port is known before
 * it connects. It is polled, never waited for: a boot may ask every few milliseconds, and nothing runs afterwards.
 */
import { fstatSync } from "node:fs";
import { type Clock, poll } from "../os/clock.ts";
import {
  bind,
  close,
  connect,
  getsockname,
  isReadable,
  isWritable,
  peerCredentials,
  recv,
  SystemError,
  send,
  shutdownWrite,
  socket,
  socketError,
  unreadByPeer,
} from "../os/libc.ts";
import { type Endpoint, isUnixAccepted, tcpEnd } from "../os/socket-table.ts";
import { decode, encode, hostBytes, type InetAddress } from "./sockaddr.ts";

const LEAVING_MS = 250;
const LEAVING_LOOK_MS = 10;

export class Probe implements Disposable {
  readonly #fd: number;
  #isOpen = true;
  #connected = false;
  #isEnded = false;
  #release: () => void;
  #tcpTarget: InetAddress | undefined;
  readonly #buffer = new Uint8Array(16 * 1024);

  private constructor(fd: number, release: () => void) {
    this.#fd = fd;
    this.#release = release;
  }

  /** Throws SystemError, e.g. EAGAIN for a full Unix backlog. */
  static unix(path: string, release = () => {}): Probe {
    const fd = socket("unix", "nonblocking");
    return Probe.#guard(fd, release, () => {
      connect(fd, encode({ family: "unix", path }));
    });
  }

  static abstract(name: string): Probe {
    const fd = socket("unix", "nonblocking");
    return Probe.#guard(
      fd,
      () => {},
      () => connect(fd, encode({ family: "abstract", name })),
    );
  }

  /**
   * `claim` learns the source address before the first packet leaves and may install a selector for it; what it
   * returns is called when the probe is closed, while the port is still ours. An explicitly bound port is passed over
   * by the kernel's choice of ephemeral ports (inet_hash_connect), so no stranger can have it meanwhile.
   */
  static tcp(target: InetAddress, claim?: (source: InetAddress) => () => void): Probe {
    const fd = socket(target.family, "nonblocking");
    let release = () => {};
    const probe = Probe.#guard(
      fd,
      () => release(),
      () => {
        bind(fd, encode({ ...target, port: 0 }));
        if (claim) release = claim(decode(getsockname(fd)) as InetAddress);
        connect(fd, encode(target));
      },
    );
    probe.#tcpTarget = target;
    return probe;
  }

  static #guard(fd: number, release: () => void, open: () => void): Probe {
    const probe = new Probe(fd, release);
    try {
      open();
      return probe;
    } catch (error) {
      probe[Symbol.dispose]();
      throw error;
    }
  }

  /** Throws SystemError where the connect failed. */
  connected(): boolean {
    if (this.#connected) return true;
    if (!isWritable(this.#fd)) return false;
    const error = socketError(this.#fd);
    if (error) throw new SystemError("connect", error);
    this.#connected = true;
    return true;
  }

  /** Unix only: the process that called listen(2) on the other end. */
  peerPid(): number {
    return peerCredentials(this.#fd).pid;
  }

  /** It has left the accept queue, whatever waits there behind it; false where the kernel does not say. */
  isAccepted(): boolean {
    if (this.#tcpTarget) return this.#otherEnd(this.#tcpTarget)?.isAccepted === true;
    return isUnixAccepted(fstatSync(this.#fd).ino);
  }

  /** It was accepted, and its owner has read all that was written; false where the kernel does not say. */
  isRead(): boolean {
    if (!this.#tcpTarget) return unreadByPeer(this.#fd) === 0;
    const end = this.#otherEnd(this.#tcpTarget);
    return end?.isAccepted === true && end.unread === 0;
  }

  #otherEnd(target: InetAddress) {
    return tcpEnd(endpoint(target), endpoint(decode(getsockname(this.#fd)) as InetAddress));
  }

  /** The number of bytes the kernel took. */
  write(bytes: Uint8Array): number {
    return send(this.#fd, bytes);
  }

  /** What has come since: bytes, "eof", or undefined when nothing is there yet. The bytes hold until the next call. */
  read(): Uint8Array | "eof" | undefined {
    if (!isReadable(this.#fd)) return undefined;
    const n = recv(this.#fd, this.#buffer);
    if (n === undefined) return undefined;
    return n === 0 ? "eof" : this.#buffer.subarray(0, n);
  }

  /**
   * Goes as a client does that has nothing to say: its end is closed, and what the server writes to it is read until it closes, too, for
   * LEAVING_MS at most. A server that writes to a connection that is closed logs an error.
   */
  leave(clock: Clock): void {
    this.#release();
    this.#release = () => {};
    const giveUpAt = clock.now() + LEAVING_MS;
    poll(clock, LEAVING_LOOK_MS, () => {
      if (clock.now() < giveUpAt && !this.#isLeft()) return "more";
      this[Symbol.dispose]();
      return "enough";
    });
  }

  #isLeft(): boolean {
    try {
      if (!this.#isEnded) shutdownWrite(this.#fd);
      this.#isEnded = true;
      return this.read() === "eof";
    } catch (error) {
      if (error instanceof SystemError) return true; // reset by the server
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#release();
    close(this.#fd);
  }
}

const endpoint = (address: InetAddress): Endpoint => ({ host: hostBytes(address), port: address.port });
