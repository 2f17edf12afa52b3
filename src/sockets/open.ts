/** From specs to held sockets: resolves names, picks steer or share, and lets go of all where one fails. */

import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { getsockname, isListening, SystemError } from "../os/libc.ts";
import type { HeldSocket, SocketOptions } from "./held.ts";
import { HeldShared } from "./held-shared.ts";
import { HeldTcp } from "./held-tcp.ts";
import { HeldUnix, throughLink } from "./held-unix.ts";
import { isIPv4, isIPv6 } from "./ip.ts";
import type { InetAddress } from "./probe.ts";
import { hasSelectors } from "./selectors.ts";
import { decode } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

export interface HoldRequest {
  specs: readonly SocketSpec[];
  options: SocketOptions;
  cutover: "steer" | "share";
  /** A public Unix path had vanished and was put back. */
  onRestored?: (path: string) => void;
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
  const { options, onRestored } = request;
  const share = request.cutover === "share" ? "asked for by --cutover share" : undefined;
  const { address } = spec;
  switch (address.kind) {
    case "fd":
      return inherited(spec, address.fd);
    case "abstract":
      return HeldShared.open(
        spec,
        { family: "abstract", name: address.name },
        options,
        "an abstract socket has no path that could be renamed",
      );
    case "unix": {
      const steered = new HeldUnix(spec, throughLink(address.path), options, onRestored);
      return share ? shareOne(steered, share) : steered;
    }
    case "tcp": {
      const wanted = await resolve(spec, address.host, address.port);
      const why =
        share ?? (hasSelectors() ? undefined : "this kernel has no SO_ATTACH_REUSEPORT_CBPF (Linux 4.6)");
      return why ? HeldShared.open(spec, wanted, options, why) : new HeldTcp(spec, wanted, options);
    }
  }
}

/** A path is shared by giving every generation the first one's listener. */
function shareOne(steered: HeldUnix, why: string): HeldSocket {
  const listener = steered.listenFor(0);
  steered.steerTo(listener);
  return new HeldShared(steered.spec, steered.address, listener.fd, { mode: "share", why }, steered);
}

function inherited(spec: SocketSpec, fd: number): HeldSocket {
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
    return new HeldShared(spec, address, fd, {
      mode: "share",
      why: "inherited: its address belongs to the starter",
    });
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause;
    const what = cause.errno === "EBADF" ? "is not open" : "is not a socket";
    throw new HupwatchError("bind.not-a-socket", `descriptor ${fd} of '${spec.text}' ${what}`, {
      ...fix,
      cause,
    });
  }
}

/** A name is taken as the servers take it: its first IPv4 address, else its first IPv6 one. */
async function resolve(spec: SocketSpec, host: string, port: number): Promise<InetAddress> {
  if (host === "" || host === "*") return { family: "inet", host: "0.0.0.0", port };
  if (isIPv4(host)) return { family: "inet", host, port };
  if (isIPv6(host.split("%")[0] ?? "")) return { family: "inet6", host, port };
  try {
    const found = await lookup(host, { all: true });
    const chosen = found.find((a) => a.family === 4) ?? found[0];
    if (chosen) return { family: chosen.family === 4 ? "inet" : "inet6", host: chosen.address, port };
  } catch {
    // Told below: which of the resolver's reasons it was does not change what to do.
  }
  throw new HupwatchError(
    "bind.unknown-host",
    `cannot bind '${spec.text}': the name ${host} has no address`,
    {
      hint: "give a numeric address, or put the name into /etc/hosts",
    },
  );
}

/** The longest accept queue the kernel grants (net.core.somaxconn; 4096 since Linux 5.4). */
export function maxBacklog(): number {
  try {
    return Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8"));
  } catch {
    return 4096;
  }
}
