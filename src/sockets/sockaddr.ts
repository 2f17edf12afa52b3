/** struct sockaddr_un, sockaddr_in and sockaddr_in6 as bytes, both ways. Pure. unix(7), ip(7), ipv6(7). */
import { unixAddress } from "../os/unix-address.ts";
import { isIPv6 } from "./ip.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** sun_path holds 108 bytes with its closing NUL. */
export const MAX_UNIX_PATH_BYTES = 107;

export type SocketAddress =
  | { family: "unix"; path: string }
  /** Linux's abstract namespace: a name without a file. */
  | { family: "abstract"; name: string }
  /** An IPv6 host may end in its zone, `%2`: the number of an interface. */
  | { family: "inet" | "inet6"; host: string; port: number };

export type InetAddress = Extract<SocketAddress, { port: number }>;

export function encode(address: SocketAddress): Uint8Array {
  switch (address.family) {
    case "unix":
      return unixAddress(address.path);
    case "abstract":
      return unixAddress(`\0${address.name}`);
    case "inet":
      return inetBytes(address.host, address.port);
    case "inet6":
      return inet6Bytes(address.host, address.port);
  }
}

export function decode(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (view.getUint16(0, true)) {
    case AF_UNIX: {
      const text = new TextDecoder().decode(bytes.subarray(2));
      return text.startsWith("\0")
        ? { family: "abstract", name: text.slice(1) }
        : { family: "unix", path: text.split("\0")[0] ?? "" };
    }
    case AF_INET:
      return { family: "inet", host: bytes.subarray(4, 8).join("."), port: view.getUint16(2) };
    case AF_INET6: {
      const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16));
      const text = isMapped(groups) ? `::ffff:${bytes.subarray(20, 24).join(".")}` : compressed(groups);
      const zone = view.getUint32(24, true);
      const host = zone === 0 ? text : `${text}%${zone}`;
      return { family: "inet6", host, port: view.getUint16(2) };
    }
    default:
      throw new RangeError(`socket family ${view.getUint16(0, true)} is neither Unix, IPv4 nor IPv6`);
  }
}

/** How people and servers write it: `unix:/path`, `unix:@name`, `host:port`, `[v6]:port`. */
export function format(address: SocketAddress): string {
  switch (address.family) {
    case "unix":
      return `unix:${address.path}`;
    case "abstract":
      return `unix:@${address.name}`;
    case "inet":
      return `${address.host}:${address.port}`;
    case "inet6":
      return `[${address.host}]:${address.port}`;
  }
}

/** What `format` has written. */
export function parse(text: string): SocketAddress {
  const [, path] = /^unix:(.*)$/s.exec(text) ?? [];
  if (path?.startsWith("@")) return { family: "abstract", name: path.slice(1) };
  if (path !== undefined) return { family: "unix", path };
  const [, v6, v4 = "", port] = /^(?:\[(.*)\]|(.*)):(\d+)$/.exec(text) ?? [];
  return { family: v6 === undefined ? "inet" : "inet6", host: v6 ?? v4, port: Number(port) };
}

/** With port 0 the kernel chooses one at each bind: the address, as `format` writes it, names no socket that was bound before. */
export const isAnyPort = (address: string): boolean => !address.startsWith("unix:") && address.endsWith(":0");

/** What `{socket}` is filled with: the path of a Unix socket and nothing before it, `@name`, `host:port`. */
export const bare = (address: SocketAddress): string => format(address).replace(/^unix:/, "");

/** The 4 or 16 bytes of a numeric address, in network order. */
export const hostBytes = (address: InetAddress): Uint8Array =>
  address.family === "inet" ? encode(address).subarray(4, 8) : encode(address).subarray(8, 24);

/** The other way round. */
export function fromHostBytes(host: Uint8Array, port: number): InetAddress {
  const bytes = host.length === 4 ? inetBytes(host.join("."), port) : inet6Bytes("::", port);
  if (host.length === 16) bytes.set(host, 8);
  return decode(bytes) as InetAddress;
}

/** Where a client on this machine reaches what listens there: wildcards are reached over loopback. */
export function reachable(address: InetAddress): InetAddress {
  if (address.host === "0.0.0.0") return { ...address, host: "127.0.0.1" };
  if (address.host === "::") return { ...address, host: "::1" };
  return address;
}

function inetBytes(host: string, port: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  for (const [i, part] of host.split(".").entries()) view.setUint8(4 + i, Number(part));
  return new Uint8Array(view.buffer);
}

function inet6Bytes(host: string, port: number): Uint8Array {
  const [address = host, zone] = host.split("%");
  if (!isIPv6(address)) throw new RangeError(`${host} is not an IPv6 address`);
  const view = new DataView(new ArrayBuffer(28));
  view.setUint16(0, AF_INET6, true);
  view.setUint16(2, port);
  for (const [i, group] of groupsOf(address).entries()) view.setUint16(8 + 2 * i, group);
  if (zone) view.setUint32(24, Number(zone), true);
  return new Uint8Array(view.buffer);
}

/** The eight 16-bit groups of an IPv6 text, `::` and an embedded IPv4 tail included. */
function groupsOf(address: string): number[] {
  const dotted = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [(+a << 8) | +b, (+c << 8) | +d].map((n) => n.toString(16)).join(":"),
  );
  const [head = "", tail] = dotted.split("::");
  const parse = (text: string) => (text ? text.split(":").map((g) => Number.parseInt(g, 16)) : []);
  const front = parse(head);
  if (tail === undefined) return front;
  const back = parse(tail);
  return [...front, ...Array(8 - front.length - back.length).fill(0), ...back];
}

/** An IPv4 address on a socket of both families. RFC 5952, 5: its last part is written as that address is. */
const isMapped = (groups: string[]): boolean =>
  groups[5] === "ffff" && groups.slice(0, 5).every((group) => group === "0");

/** RFC 5952: the longest run of zero groups becomes `::`. */
function compressed(groups: string[]): string {
  const runs = [...groups.join(":").matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].map((m) => m[0]);
  const longest = runs.sort((a, b) => b.length - a.length)[0];
  if (!longest) return groups.join(":");
  return groups.join(":").replace(longest, "::").replace(/:{3,}/, "::");
}
