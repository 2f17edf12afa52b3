/** Opens a TCP listener, or says why it cannot. */
import { HupwatchError } from "../error.ts";
import { bind, close, listen, SystemError, setFlag, setIPv6Only, setNoDelay, socket } from "../os/libc.ts";
import type { SocketOptions } from "./held.ts";
import { servedByHupwatch } from "./occupant.ts";
import { encode, format, type InetAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

/**
 * When it is marked SO_REUSEPORT. The first of a group is bound without, so that the kernel refuses a port that is in
 * use, then marked: to join a stranger's group of the same user would take half of its connections.
 */
export type Place = "alone" | "first of a group" | "in its group";

/** The descriptor. Throws HupwatchError. */
export function listenTcp(
  spec: SocketSpec,
  address: InetAddress,
  { backlog, ipv6Only }: SocketOptions,
  place: Place,
): number {
  return bound(spec, address, ipv6Only, (fd) => {
    if (place === "in its group") setFlag(fd, "reuseport");
    bind(fd, encode(address));
    if (place === "first of a group") setFlag(fd, "reuseport");
    listen(fd, backlog);
  });
}

/** Throws what `listenTcp` would throw. Bound for an instant, it does not listen: no client comes to it. */
export function requireTcp(spec: SocketSpec, address: InetAddress, ipv6Only: boolean): void {
  close(bound(spec, address, ipv6Only, (fd) => bind(fd, encode(address))));
}

/**
 * Gives a listener that the starter made what ours have: no Nagle's delay, and an accept queue of that length (listen(2), once
 * more). TCP alone: over a Unix socket the process that calls listen(2) is what its clients see as their peer (SO_PEERCRED).
 */
export function likeOurOwn(fd: number, { backlog }: SocketOptions): void {
  try {
    setNoDelay(fd);
    listen(fd, backlog);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error; // SCTP, or a seccomp filter: it serves as it is
  }
}

function bound(
  spec: SocketSpec,
  address: InetAddress,
  ipv6Only: boolean | undefined,
  act: (fd: number) => void,
): number {
  const fd = socket(address.family);
  try {
    setFlag(fd, "reuseaddr");
    // A server that takes a descriptor may not know that it is TCP and leave Nagle's delay on: uvicorn --fd answers a kept
    // connection 40 ms later for it. Accepted connections inherit the option.
    setNoDelay(fd);
    if (ipv6Only) setIPv6Only(fd);
    act(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error instanceof SystemError ? cannotBind(spec, address, error) : error;
  }
}

function cannotBind(spec: SocketSpec, address: InetAddress, cause: SystemError): HupwatchError {
  const where = spec.text === format(address) ? `'${spec.text}'` : `'${spec.text}' (${format(address)})`;
  const hints: Record<string, [string, string]> = {
    EADDRINUSE: [
      "the port is taken",
      (cause.errno === "EADDRINUSE" ? servedByHupwatch(address.port) : undefined) ??
        `end the process that listens there ('ss -ltnp sport = :${address.port}' names it) or choose another port`,
    ],
    EACCES: [
      "ports below 1024 require CAP_NET_BIND_SERVICE, which this process does not have",
      "run as root or with CAP_NET_BIND_SERVICE, lower net.ipv4.ip_unprivileged_port_start, or choose another port",
    ],
    EADDRNOTAVAIL: [
      "this machine does not have that address",
      "'ip addr' lists its addresses; 0.0.0.0 means all of them",
    ],
  };
  const [why, hint] = hints[cause.errno] ?? [cause.message, "see socket(7) for this error"];
  return new HupwatchError("bind.failed", `cannot bind ${where}: ${why}`, { hint, cause });
}
