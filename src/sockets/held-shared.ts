/**
 * One listener for all generations, where it cannot be steered: inherited from a supervisor, abstract, or by wish.
 * The public always reaches a living generation, but a probe may be answered by the old one.
 */
import { HupwatchError } from "../error.ts";
import {
  bind,
  close,
  isListening,
  isReadable,
  listen,
  SystemError,
  setFlag,
  setNoDelay,
  socket,
} from "../os/libc.ts";
import type { Shared } from "./cutover.ts";
import type { HeldSocket, Listener, SocketOptions } from "./held.ts";
import { Probe } from "./probe.ts";
import { encode, format, type SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

export class HeldShared implements HeldSocket {
  readonly #fd: number;
  readonly #holder: HeldSocket | undefined;
  readonly adopted: Listener | undefined;

  /** `holder` owns the descriptor where another held socket opened it. */
  constructor(
    readonly spec: SocketSpec,
    readonly address: SocketAddress,
    fd: number,
    readonly cutover: Shared,
    holder?: HeldSocket,
    isAdopted = false,
  ) {
    this.#fd = fd;
    this.#holder = holder;
    if (isAdopted) this.adopted = this.listenFor(0);
  }

  /** Binds and listens on an address of this process's own. */
  static open(
    spec: SocketSpec,
    address: Exclude<SocketAddress, { family: "unix" }>,
    options: SocketOptions,
    cutover: Shared,
  ): HeldShared {
    const fd = socket(address.family === "abstract" ? "unix" : address.family, false);
    try {
      if (address.family !== "abstract") {
        setFlag(fd, "reuseaddr");
        setNoDelay(fd);
      }
      bind(fd, encode(address));
      listen(fd, options.backlog);
    } catch (error) {
      close(fd);
      if (!(error instanceof SystemError)) throw error;
      throw new HupwatchError(
        "bind.failed",
        `cannot bind '${spec.text}' (${format(address)}): ${error.message}`,
        {
          hint: "end what listens there or choose another address",
          cause: error,
        },
      );
    }
    return new HeldShared(spec, address, fd, cutover);
  }

  listenFor(generation: number): Listener {
    return {
      fd: this.#fd,
      // Nobody else can answer the first generation's probes.
      proof: generation === 1,
      hasQueued: () => isReadable(this.#fd),
      connect: () => {
        if (this.address.family === "unix") return Probe.unix(this.address.path);
        if (this.address.family === "abstract") return Probe.abstract(this.address.name);
        return Probe.tcp(this.address);
      },
      [Symbol.dispose]: () => {},
    };
  }

  steerTo(): void {
    if (!isListening(this.#fd))
      throw new HupwatchError(
        "socket.shut-down",
        `'${this.spec.text}' no longer listens: a generation shut it down`,
        {
          hint: "keep the server from calling shutdown(2) on a socket it was given (uWSGI: no shutdown-sockets)",
        },
      );
  }

  leave(): void {
    if (this.#holder) this.#holder.leave();
    else close(this.#fd);
  }

  [Symbol.dispose](): void {
    if (this.#holder) this.#holder[Symbol.dispose]();
    else close(this.#fd);
  }
}
