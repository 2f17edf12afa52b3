/** From specs to held sockets: resolves names, picks steer or share, and releases all if one fails. */

import { lstatSync, readFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { close, dup, getsockname, isListening, SystemError } from "../os/libc.ts";
import { cutoverOf, type Shared } from "./cutover.ts";
import { type AdoptedListener, type HeldSocket, OF_ALL, type SocketOptions } from "./held.ts";
import { bindAbstract, HeldShared } from "./held-shared.ts";
import { HeldTcp } from "./held-tcp.ts";
import { HeldUnix } from "./held-unix.ts";
import { isIPv4, isIPv6 } from "./ip.ts";
import { decode, format, hostBytes, type InetAddress, type SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import { likeOurOwn, requireTcp } from "./tcp-listener.ts";
import { requirePlace, throughLink } from "./unix-path.ts";

export interface HoldRequest {
  specs: readonly SocketSpec[];
  options: SocketOptions;
  cutover: "steer" | "share";
  /** What binds a generation's own Unix path: a server that cannot take a descriptor does it itself. */
  boundBy?: "hupwatch" | "server";
  /** Takes what a survivor holds of an address, written as `format` does. */
  adopt?: (address: string) => AdoptedListener | undefined;
  /** The command line does not name it: later listeners have owner and mode of the one that the command itself has made. */
  isLearned?: boolean;
}

export async function holdAll(request: HoldRequest): Promise<HeldSocket[]> {
  const held: HeldSocket[] = [];
  try {
    for (const spec of request.specs) held.push(await hold(spec, request));
    return held;
  } catch (error) {
    for (const socket of held) socket[Symbol.dispose]();
    throw error;
  }
}

async function hold(spec: SocketSpec, request: HoldRequest): Promise<HeldSocket> {
  const adopt = (address: SocketAddress) => request.adopt?.(format(address));
  const { address } = spec;
  switch (address.kind) {
    case "fd":
      return inherited(spec, address.fd, cutoverOf(address, request.cutover), request.options);
    case "abstract": {
      const wanted = { family: "abstract", name: address.name } as const;
      return shared(spec, wanted, request.options, cutoverOf(address, request.cutover), adopt(wanted));
    }
    case "unix": {
      const cutover = cutoverOf(address, request.cutover);
      const path = throughLink(spec, address.path, request.options);
      const adopted = adopt({ family: "unix", path });
      const options = request.isLearned
        ? like(adopted, request.options)
        : { ...request.options, ...spec.rights };
      const steered = new HeldUnix(spec, path, options, adopted, request.boundBy);
      // The command has bound it, and knows nothing of what was asked for on the command line.
      if (request.isLearned && (request.options.mode !== undefined || request.options.owner))
        furnishOrLeave(steered);
      return cutover.mode === "share" ? shareOne(steered, cutover) : steered;
    }
    case "tcp": {
      const cutover = cutoverOf(address, request.cutover);
      const wanted = await resolve(spec, address.host, address.port);
      const adopted = adopt(wanted);
      const options = { ...request.options, ipv6Only: leavesIPv4(wanted, request.specs, request.options) };
      return cutover.mode === "share"
        ? shared(spec, wanted, options, cutover, adopted)
        : new HeldTcp(spec, wanted, options, adopted);
    }
  }
}

/** Linux lets [::] take the port of IPv4, too, and refuses it to a socket that asks for that one. */
const leavesIPv4 = (
  wanted: InetAddress,
  specs: readonly SocketSpec[],
  { ipv6Only }: SocketOptions,
): boolean =>
  wanted.family === "inet6" &&
  (ipv6Only === true ||
    (wanted.port !== 0 &&
      hostBytes(wanted).every((byte) => byte === 0) &&
      specs.some(({ address: a }) => a.kind === "tcp" && a.port === wanted.port && !isIPv6(a.host))));

/** What `holdAll` will ask its request about, as `format` writes it; opens nothing. Throws HupwatchError. */
export async function addressOf(spec: SocketSpec, options: SocketOptions): Promise<string> {
  const { address } = spec;
  switch (address.kind) {
    case "fd":
      return format(listeningAt(spec, address.fd));
    case "abstract":
      return format({ family: "abstract", name: address.name });
    case "unix":
      return format({ family: "unix", path: throughLink(spec, address.path, options) });
    case "tcp":
      return format(await resolve(spec, address.host, address.port));
  }
}

/**
 * Throws the error that `holdAll` would throw for a spec that no survivor holds. A port is bound for an instant without listen(2), so no
 * client connects to it; everything else is only looked at.
 */
export async function requireFree(
  spec: SocketSpec,
  specs: readonly SocketSpec[],
  options: SocketOptions,
): Promise<void> {
  const { address } = spec;
  switch (address.kind) {
    case "fd":
      listeningAt(spec, address.fd);
      return;
    case "abstract":
      close(bindAbstract(spec, address.name));
      return;
    case "unix":
      requirePlace(spec, throughLink(spec, address.path, options), options);
      return;
    case "tcp": {
      const wanted = await resolve(spec, address.host, address.port);
      requireTcp(spec, wanted, leavesIPv4(wanted, specs, options));
    }
  }
}

function like(adopted: AdoptedListener | undefined, options: SocketOptions): SocketOptions {
  const made = adopted?.privatePath && lstatSync(adopted.privatePath, { throwIfNoEntry: false });
  if (!made) return options;
  const { uid, gid, mode } = made;
  const isOurs = uid === process.geteuid?.() && gid === process.getegid?.();
  return {
    ...options,
    mode: options.mode ?? mode & 0o777,
    owner: options.owner ?? (isOurs ? undefined : { uid, gid }),
  };
}

/** Its server goes on with it, whatever we may not do to it. */
function furnishOrLeave(steered: HeldUnix): void {
  try {
    steered.furnish();
  } catch (error) {
    steered.leave();
    throw error;
  }
}

/** A path is shared by giving every generation the first one's listener. */
function shareOne(steered: HeldUnix, cutover: Shared): HeldSocket {
  const { adopted } = steered;
  const listener = adopted?.heldBy === "hupwatch" ? adopted : steered.listenFor(OF_ALL);
  // A path that servers bind by themselves is never shared.
  if (listener.heldBy !== "hupwatch") throw new RangeError(`${steered.path} has no listener to share`);
  if (listener !== adopted) steered.steerTo(listener);
  return new HeldShared(steered.spec, steered.address, listener.fd, cutover, {
    holder: steered,
    privatePath: listener.privatePath,
    ...(adopted ? { adopted } : {}),
  });
}

/** A survivor's listener where there is one, else one of our own. */
function shared(
  spec: SocketSpec,
  address: Exclude<SocketAddress, { family: "unix" }>,
  options: SocketOptions,
  cutover: Shared,
  adopted: AdoptedListener | undefined,
): HeldSocket {
  if (adopted?.fd === undefined) return HeldShared.open(spec, address, options, cutover);
  return new HeldShared(spec, address, adopted.fd, cutover, { adopted: {} });
}

function inherited(spec: SocketSpec, fd: number, cutover: Shared, options: SocketOptions): HeldSocket {
  const address = listeningAt(spec, fd);
  // A number of our own, close-on-exec: the runtime hands descriptors 0 to 2 to a command in its own way only.
  const own = dup(fd);
  if (fd > 2) close(fd);
  if (address.family === "inet" || address.family === "inet6") likeOurOwn(own, options);
  return new HeldShared(spec, address, own, cutover);
}

function listeningAt(spec: SocketSpec, fd: number): SocketAddress {
  const fix = {
    hint: `start hupwatch with a listening socket on descriptor ${fd}, or give --bind an address`,
  };
  try {
    const address = decode(getsockname(fd));
    if (!isListening(fd))
      throw new HupwatchError(
        "bind.not-listening",
        `descriptor ${fd} of '${spec.text}' does not listen`,
        fix,
      );
    return address;
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const what = cause.errno === "EBADF" ? "is not open" : "is not a socket";
    throw new HupwatchError("bind.not-a-socket", `descriptor ${fd} of '${spec.text}' ${what}`, {
      ...fix,
      cause,
    });
  }
}

/**
 * A name means its first IPv4 address, else its first IPv6 one, as for gunicorn, hypercorn, daphne and uWSGI. The adapters of other servers
 * say what it means for them (servers/reading/addresses.ts).
 */
async function resolve(spec: SocketSpec, host: string, port: number): Promise<InetAddress> {
  if (host === "" || host === "*") return { family: "inet", host: "0.0.0.0", port };
  if (isIPv4(host)) return { family: "inet", host, port };
  if (isIPv6(host.split("%")[0] ?? "")) return { family: "inet6", host: withZoneNumber(spec, host), port };
  try {
    // Seldom needed, and a millisecond of every start.
    const { lookup } = await import("node:dns/promises");
    const found = await lookup(host, { all: true });
    const chosen = found.find((a) => a.family === 4) ?? found[0];
    if (chosen) return { family: chosen.family === 4 ? "inet" : "inet6", host: chosen.address, port };
  } catch {
    // Told below: which of the resolver's reasons it was does not change what to do.
  }
  throw new HupwatchError(
    "bind.unknown-host",
    `cannot bind '${spec.text}': the name ${host} does not have an address`,
    {
      hint: "give a numeric address, or put the name into /etc/hosts",
    },
  );
}

/** `fe80::1%eth0`: the kernel knows interfaces by number (if_nametoindex(3)). */
function withZoneNumber(spec: SocketSpec, host: string): string {
  const [address, zone] = host.split("%");
  if (zone === undefined || /^\d+$/.test(zone)) return host;
  try {
    return `${address}%${readFileSync(`/sys/class/net/${zone}/ifindex`, "utf8").trim()}`;
  } catch (cause) {
    throw new HupwatchError("bind.unknown-zone", `cannot bind '${spec.text}': no network interface ${zone}`, {
      hint: "'ip link' lists their names",
      cause,
    });
  }
}

/** The longest accept queue the kernel grants (net.core.somaxconn; 4096 since Linux 5.4). */
export function maxBacklog(): number {
  try {
    return Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8"));
  } catch {
    return 4096;
  }
}
