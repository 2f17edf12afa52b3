/** What a generation is given in the place of what it binds, and which of its binds that is. Looking at addresses only. */
import { lstatSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { InetAddress, SocketAddress } from "../sockets/sockaddr.ts";

/** A listener of one generation, behind one address. */
export interface Given {
  address: SocketAddress;
  /** Other paths that lead to it: the one that the user wrote, where that is a symlink. */
  alsoAt: readonly string[];
  fd: number;
  /** Its socket's number in /proc. */
  inode: number;
  /** Of an IPv6 socket: it leaves IPv4 to others. */
  ipv6Only: boolean;
  /** The name beside a Unix path that it is bound to. */
  privatePath?: string | undefined;
  /** The generation has bound it. */
  isBound: boolean;
  /** As this user: without hupwatch the file would be that user's, to chmod and chown. */
  boundBy?: number;
  /** The generation has called listen(2) on it. */
  isListening: boolean;
  /** The keeper has made it, in the place of an address that hupwatch did not know. */
  isLearned: boolean;
}

const isWildcard = ({ host }: InetAddress): boolean => host === "0.0.0.0" || host === "::";

/** What is bound, and whether that is to leave IPv4 to others. */
export interface AskedPort {
  address: InetAddress;
  ipv6Only: boolean;
}

/** The exact address first; else one that is meant as well: a wildcard on either side, in a family that takes it. */
export function givenForPort(asked: AskedPort, given: readonly Given[]): Given | undefined {
  const ofPort = given.filter(
    (g): g is Given & { address: InetAddress } =>
      "port" in g.address && g.address.port === asked.address.port,
  );
  const { family, host } = asked.address;
  const exact = ofPort.find(({ address }) => address.family === family && address.host === host);
  return exact ?? ofPort.find((g) => covers(asked, g));
}

function covers(
  { address: asked, ipv6Only }: AskedPort,
  { address, ipv6Only: heldOnly }: Given & { address: InetAddress },
): boolean {
  if (!isWildcard(asked) && !isWildcard(address)) return false;
  if (asked.family === address.family) return true;
  // [::] takes IPv4, too, unless it was told not to.
  return asked.family === "inet6" ? isWildcard(asked) && !ipv6Only : isWildcard(address) && !heldOnly;
}

/**
 * The one whose public path `path` leads to, where `resolved` is the same path as we can open it: through the caller's own root or
 * working directory. The last component is not followed, as bind(2) and unlink(2) do not.
 */
export function givenForPath(path: string, resolved: string, given: readonly Given[]): Given | undefined {
  const name = basename(path);
  for (const one of given) {
    if (one.address.family !== "unix") continue;
    for (const held of [one.address.path, ...one.alsoAt])
      if (basename(held) === name && isSameDirectory(dirname(held), dirname(resolved))) return one;
  }
  return undefined;
}

function isSameDirectory(ours: string, theirs: string): boolean {
  const [a, b] = [statSync(ours, { throwIfNoEntry: false }), statSync(theirs, { throwIfNoEntry: false })];
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** The socket's file is still the one of this name. */
export const inodeAt = (path: string): number | undefined => lstatSync(path, { throwIfNoEntry: false })?.ino;

/** Set on a socket before it was bound. */
export interface RecordedOption {
  level: number;
  option: number;
  value: Uint8Array;
}
