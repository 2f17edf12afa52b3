/**
 * The connection to a server that stands for a client's: its server sees the same peer. TCP: from the client's own address, which must
 * be one of this machine's. Unix: with the client's user and group.
 */

import type { LetGo } from "../os/keeping.ts";
import { bind, close, getsockname, SystemError, socket } from "../os/libc.ts";
import { choosePortLate, connectAs, getpeername, type Peer, peerOf } from "../os/libc-kept.ts";
import { decode, encode } from "../sockets/sockaddr.ts";
import type { Left } from "./protocol.ts";

/** `full`: nothing is wrong, but there is no room for it now. */
export type Connecting = "connected" | "in-progress" | "full";

const ownIdentity = (): Peer => ({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 });

/**
 * Why no other connection can stand for that client's; undefined where one can. Where none can, its server's end of it must be the
 * client's at once: a request on it would be lost for sure. Throws SystemError of what is wrong with the client's socket.
 */
function whyNotFor(client: number, left: Pick<Left, "path" | "isAnyPeer">): LetGo | undefined {
  const place = placeFor(client, left);
  if ("why" in place) return place.why;
  close(place.fd);
  return undefined;
}

/** Remembers what `whyNotFor` says of each address that TCP clients have: ten thousand have few. */
export class Origins {
  readonly #known = new Map<string, LetGo | undefined>();

  constructor(private readonly isAnyPeer: boolean) {}

  whyNotFor(client: number, path: string | undefined): LetGo | undefined {
    const left = { path, isAnyPeer: this.isAnyPeer };
    if (path !== undefined) return whyNotFor(client, left);
    const from = hostOf(client);
    if (from === undefined) return "left";
    if (!this.#known.has(from)) this.#known.set(from, whyNotFor(client, left));
    return this.#known.get(from);
  }
}

/** Raw, without its port; undefined of one that has no peer any more. */
function hostOf(client: number): string | undefined {
  try {
    return Buffer.from(getpeername(client).subarray(4)).toString("latin1");
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return undefined;
  }
}

/** The descriptor is the caller's to close. Throws SystemError of what is wrong with the client's socket. */
export function beginConnect(client: number, left: Left): { fd: number; state: Connecting } | { why: LetGo } {
  const place = placeFor(client, left);
  if ("why" in place) return place;
  try {
    const state = connectAgain(place.fd, client, left);
    if (state !== "failed") return { fd: place.fd, state };
    close(place.fd);
    return { why: "unreachable" };
  } catch (error) {
    close(place.fd);
    return { why: reasonOf(error) };
  }
}

/** A socket that has the client's address, or may have its user, and is not connected yet. */
function placeFor(
  client: number,
  { path, isAnyPeer }: Pick<Left, "path" | "isAnyPeer">,
): { fd: number } | { why: LetGo } {
  const own = ownIdentity();
  // Only root may be another user.
  if (path !== undefined && !isAnyPeer && own.uid !== 0 && !isSame(peerOf(client), own))
    return { why: "other-user" };
  try {
    const fd = path === undefined ? boundAs(client, isAnyPeer) : socket("unix", "nonblocking");
    return fd === undefined ? { why: "elsewhere" } : { fd };
  } catch (error) {
    return { why: reasonOf(error) };
  }
}

function reasonOf(error: unknown): LetGo {
  if (!(error instanceof SystemError)) throw error;
  return error.errno === "EMFILE" || error.errno === "ENFILE" ? "too-many" : "unreachable";
}

const isSame = (a: Peer, b: Peer): boolean => a.uid === b.uid && a.gid === b.gid;

/** One more try of a connect that had no room. */
export function connectAgain(fd: number, client: number, { path, isAnyPeer }: Left): Connecting | "failed" {
  const own = ownIdentity();
  const peer = path === undefined || isAnyPeer ? own : peerOf(client);
  const address =
    path === undefined
      ? getsockname(client)
      : encode(path.startsWith("@") ? { family: "abstract", name: path.slice(1) } : { family: "unix", path });
  try {
    return connectAs(fd, address, peer, own);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return error.errno === "EAGAIN" ? "full" : "failed";
  }
}

/** A TCP socket with the address of that client, and a port of its own; undefined where that is not an address of this machine. */
function boundAs(client: number, isAnyPeer: boolean): number | undefined {
  const address = getpeername(client).slice();
  const { family } = decode(address);
  if (family !== "inet" && family !== "inet6") return undefined;
  const fd = socket(family, "nonblocking");
  if (isAnyPeer) return fd;
  // The port: sin_port and sin6_port are at the same place.
  address.fill(0, 2, 4);
  try {
    choosePortLate(fd);
    bind(fd, address);
    return fd;
  } catch (error) {
    close(fd);
    if (error instanceof SystemError && error.errno === "EADDRNOTAVAIL") return undefined;
    throw error;
  }
}
