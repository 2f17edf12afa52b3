/**
 * One listener for all generations, if it cannot be steered: inherited from a supervisor, abstract, or requested by --cutover share.
 * Clients always reach a living generation, but the old one may answer a probe.
 */
import { HupwatchError } from "../error.ts";
import { bind, close, isListening, isReadable, listen, SystemError, socket } from "../os/libc.ts";
import type { Shared } from "./cutover.ts";
import {
  type HeldSocket,
  noLongerListens,
  type OwnListener,
  type PathOwner,
  type SocketOptions,
} from "./held.ts";
import { Probe } from "./probe.ts";
import { encode, type SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import { listenTcp } from "./tcp-listener.ts";

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
  readonly adopted: OwnListener | undefined;

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

  /** Binds and listens on an address of this process's own. Throws HupwatchError. */
  static open(
    spec: SocketSpec,
    address: Exclude<SocketAddress, { family: "unix" }>,
    options: SocketOptions,
    cutover: Shared,
  ): HeldShared {
    const fd =
      address.family === "abstract"
        ? bindAbstract(spec, address.name, (fd) => listen(fd, options.backlog))
        : listenTcp(spec, address, options, "alone");
    return new HeldShared(spec, address, fd, cutover);
  }

  listenFor(generation: number): OwnListener {
    return this.#listener(generation, this.#origin.privatePath);
  }

  #listener(generation: number, privatePath: string | undefined): OwnListener {
    return {
      ...{ heldBy: "hupwatch", fd: this.#fd },
      ...(privatePath === undefined ? {} : { privatePath }),
      // No other generation can answer the first one's probes.
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
    if (!isListening(this.#fd)) throw noLongerListens(this.spec);
  }

  keep(owner: PathOwner): void {
    this.#origin.holder?.keep?.({ owns: owner.owns, tell: owner.tell });
  }

  look(): void {
    this.#origin.holder?.look?.();
  }

  get trouble(): string | undefined {
    return this.#origin.holder?.trouble;
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

/** The descriptor; without a `then` it does not listen. Throws HupwatchError. */
export function bindAbstract(spec: SocketSpec, name: string, then: (fd: number) => void = () => {}): number {
  const fd = socket("unix");
  try {
    bind(fd, encode({ family: "abstract", name }));
    then(fd);
    return fd;
  } catch (cause) {
    close(fd);
    if (!(cause instanceof SystemError)) throw cause;
    const why = cause.errno === "EADDRINUSE" ? "the name is taken" : cause.message;
    throw new HupwatchError("bind.failed", `cannot bind '${spec.text}': ${why}`, {
      hint: "end the process that listens there or choose another name",
      cause,
    });
  }
}
