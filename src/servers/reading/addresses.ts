/**
 * The addresses that a host has for a server, as SPECs. Servers differ: some bind the first address of a name, some all of them, and
 * an empty host is both families for one and IPv4 for another. Only the first IPv4 address is what `--bind` itself makes of a name.
 */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { addressesOf } from "../../os/libc.ts";
import { isIPv4, isIPv6 } from "../../sockets/ip.ts";
import { decode } from "../../sockets/sockaddr.ts";
import { tcpSpec } from "./recognise.ts";

type Port = string | number;

/** What asyncio and waitress bind: every address of the name, and of an empty one both families. */
export function everyAddress(host: string, port: Port): string[] {
  const hosts = host === "" ? ["0.0.0.0", "::"] : lookedUp(host);
  return usable(hosts).map((address) => tcpSpec(address, port));
}

/** What Ruby's TCPServer and cheroot bind: what the resolver names first. */
export const firstAddress = (host: string, port: Port): string =>
  tcpSpec(host === "" ? "0.0.0.0" : (usable(lookedUp(host))[0] ?? host), port);

/** What puma makes of `localhost`: the loopback addresses that the machine's interfaces have. */
export function loopbackAddresses(port: Port): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const own = all.filter(({ address }) => address === "::1" || address.startsWith("127."));
  return (own.length > 0 ? own.map(({ address }) => address) : ["127.0.0.1"]).map((a) => tcpSpec(a, port));
}

/** A name that has no address stays a name, and is refused as such where it is bound. */
function lookedUp(host: string): string[] {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (isIPv4(bare) || isIPv6(bare.split("%")[0] ?? "")) return [bare];
  const found = addressesOf(host).flatMap((bytes) => {
    const address = decode(bytes);
    return "host" in address ? [address.host] : [];
  });
  return found.length > 0 ? [...new Set(found)] : [host];
}

/** On a machine without IPv6 the servers go on with the rest. */
const usable = (hosts: readonly string[]): string[] => {
  const ipv4 = hosts.filter((host) => !host.includes(":"));
  return ipv4.length === 0 || hasIPv6() ? [...hosts] : ipv4;
};

function hasIPv6(): boolean {
  try {
    return readFileSync("/proc/net/if_inet6", "utf8") !== "";
  } catch {
    return false;
  }
}
