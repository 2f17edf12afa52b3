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

/** The descriptor is the caller's to close. Throws SystemError of what is wrong with the client's socket. */
export function beginConnect(client: number, left: Left): { fd: number; state: Connecting } | { why: LetGo } {
  const isUnix = left.path !== undefined;
  const own = ownIdentity();
  // Only root may be another user.
  if (isUnix && !left.isAnyPeer && own.uid !== 0 && !isSame(peerOf(client), own))
    return { why: "other-user" };
  let fd: number | undefined;
  try {
    fd = isUnix ? socket("unix", "nonblocking") : boundAs(client, left.isAnyPeer);
    if (fd === undefined) return { why: "elsewhere" };
    const state = connectAgain(fd, client, left);
    if (state !== "failed") return { fd, state };
    close(fd);
    return { why: "unreachable" };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (fd !== undefined) close(fd);
    return { why: error.errno === "EMFILE" || error.errno === "ENFILE" ? "too-many" : "unreachable" };
  }
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
