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
  setIPv6Only,
  setNoDelay,
  socket,
} from "../os/libc.ts";
import type { Shared } from "./cutover.ts";
import type { HeldSocket, Listener, SocketOptions } from "./held.ts";
import { Probe } from "./probe.ts";
import { encode, format, type SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

/** Where the descriptor comes from, if not from a bind of this class. */
export interface Origin {
  /** Owns it. */
  holder?: HeldSocket;
  /** The name it was bound to, where the public path is only a link of it: what its connections are known by. */
  privatePath?: string | undefined;
  /** A generation that was taken over serves: on the same descriptor, or on another with a name of its own. */
  adopted?: { privatePath?: string | undefined };
}

export class HeldShared implements HeldSocket {
  readonly #fd: number;
  readonly #origin: Origin;
  readonly adopted: Listener | undefined;

  constructor(
    readonly spec: SocketSpec,
    readonly address: SocketAddress,
    fd: number,
    readonly cutover: Shared,
    origin: Origin = {},
  ) {
    this.#fd = fd;
    this.#origin = origin;
    if (origin.adopted) this.adopted = this.#listener(0, origin.adopted.privatePath);
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
        if (options.ipv6Only) setIPv6Only(fd);
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
    return this.#listener(generation, this.#origin.privatePath);
  }

  #listener(generation: number, privatePath: string | undefined): Listener {
    return {
      fd: this.#fd,
      ...(privatePath === undefined ? {} : { privatePath }),
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
    if (this.#origin.holder) this.#origin.holder.leave();
    else close(this.#fd);
  }

  [Symbol.dispose](): void {
    if (this.#origin.holder) this.#origin.holder[Symbol.dispose]();
    else close(this.#fd);
  }
}
