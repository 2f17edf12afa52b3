/** Sockets of this process, and their options: listeners that are never accepted from, raw non-blocking connects. */
import { type Pointer, ptr, read } from "bun:ffi";
import { check, cString, errno, errnoName, openLibc, SystemError } from "./library.ts";
import { AF, IPPROTO_TCP, SOCK, SOL_SOCKET } from "./numbers.ts";

const C = openLibc({
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  connect: { args: ["int", "ptr", "u32"], returns: "int" },
  freeaddrinfo: { args: ["ptr"], returns: "void" },
  getaddrinfo: { args: ["ptr", "ptr", "ptr", "ptr"], returns: "int" },
  getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
  getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
  listen: { args: ["int", "int"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  shutdown: { args: ["int", "int"], returns: "int" },
  socket: { args: ["int", "int", "int"], returns: "int" },
});

const NETLINK_SOCK_DIAG = 4;
const TCP_NODELAY = 1;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const AI_PASSIVE = 1;

const SO = {
  reuseaddr: 2,
  error: 4,
  reuseport: 15,
  passcred: 16,
  peercred: 17,
  acceptconn: 30,
} as const;

const SHUT_RD = 0;
const SHUT_WR = 1;

export type Family = "unix" | "inet" | "inet6";

/** socket(2): a stream socket, close-on-exec. */
export const socket = (family: Family, mode?: "nonblocking"): number =>
  check("socket", C.socket(AF[family], SOCK.stream | SOCK.cloexec | (mode ? SOCK.nonblocking : 0), 0));

/** A non-blocking netlink socket to the kernel's sock_diag(7); what is sent goes to the kernel. */
export const openSockDiag = (): number =>
  check("socket", C.socket(AF.netlink, SOCK.raw | SOCK.cloexec | SOCK.nonblocking, NETLINK_SOCK_DIAG));

export const bind = (fd: number, address: Uint8Array): void =>
  void check("bind", C.bind(fd, ptr(address), address.length));

/** bind(2) to a Unix path that has mode 0600 from its first moment. */
export function bindPrivately(fd: number, address: Uint8Array): void {
  const umask = process.umask(0o177);
  try {
    bind(fd, address);
  } finally {
    process.umask(umask);
  }
}

export const listen = (fd: number, backlog: number): void => void check("listen", C.listen(fd, backlog));

/** connect(2) on a non-blocking socket. EAGAIN (full Unix backlog) and the rest are thrown. */
export function connect(fd: number, address: Uint8Array): "connected" | "in-progress" {
  if (C.connect(fd, ptr(address), address.length) === 0) return "connected";
  const name = errno();
  if (name === "EINPROGRESS") return "in-progress";
  throw new SystemError("connect", name);
}

/** shutdown(2) of a listener, for all that have it open: from now on it refuses every connection. */
export const stopListening = (fd: number): void => void check("shutdown", C.shutdown(fd, SHUT_RD));

/** shutdown(2): the other end reads the end behind what was sent. */
export const shutdownWrite = (fd: number): void => void check("shutdown", C.shutdown(fd, SHUT_WR));

/** getsockname(2): the raw sockaddr. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  check("getsockname", C.getsockname(fd, ptr(address), ptr(length)));
  return address.subarray(0, length[0]);
}

export function setFlag(fd: number, option: "reuseaddr" | "reuseport" | "passcred"): void {
  const on = new Int32Array([1]);
  check(`setsockopt(SO_${option.toUpperCase()})`, C.setsockopt(fd, SOL_SOCKET, SO[option], ptr(on), 4));
}

/** TCP_NODELAY; sockets that are accepted from a listener have it from there (tcp(7)). */
export function setNoDelay(fd: number): void {
  const on = new Int32Array([1]);
  check("setsockopt(TCP_NODELAY)", C.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ptr(on), 4));
}

/** IPV6_V6ONLY: its port stays free for a listener of IPv4 (ipv6(7)). Before bind. */
export function setIPv6Only(fd: number): void {
  const on = new Int32Array([1]);
  check("setsockopt(IPV6_V6ONLY)", C.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, ptr(on), 4));
}

export const isIPv6Only = (fd: number): boolean => getInt(fd, IPV6_V6ONLY, IPPROTO_IPV6) !== 0;

function getInt(fd: number, option: number, level = SOL_SOCKET): number {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  check("getsockopt", C.getsockopt(fd, level, option, ptr(value), ptr(length)));
  return value[0] ?? 0;
}

/** True while the description is in the listening state (SO_ACCEPTCONN): false after a shutdown(2) by any process. */
export const isListening = (fd: number): boolean => getInt(fd, SO.acceptconn) === 1;

/** The pending error of a connect in progress (SO_ERROR), as an errno name. */
export function socketError(fd: number): string | undefined {
  const number = getInt(fd, SO.error);
  if (number === 0) return undefined;
  return errnoName(number);
}

/** SO_PEERCRED of a connected Unix socket: for a client, the process that called listen(2). */
export function peerCredentials(fd: number): { pid: number; uid: number } {
  const value = new Int32Array(3);
  const length = new Uint32Array([12]);
  check("getsockopt(SO_PEERCRED)", C.getsockopt(fd, SOL_SOCKET, SO.peercred, ptr(value), ptr(length)));
  return { pid: value[0] ?? 0, uid: value[1] ?? 0 };
}

/**
 * The addresses that a server gets for a name, each as a sockaddr, in the order in which it would try them: getaddrinfo(3) with AI_PASSIVE,
 * which may ask a name server and waits for it. None where the name has none. The fields of struct addrinfo are those of netdb.h, LP64.
 */
export function addressesOf(host: string): Uint8Array[] {
  const hints = new Int32Array([AI_PASSIVE, 0, SOCK.stream, IPPROTO_TCP, 0, 0, 0, 0, 0, 0, 0, 0]);
  const first = new BigUint64Array(1);
  if (C.getaddrinfo(ptr(cString(host)), null, ptr(hints), ptr(first)) !== 0) return [];
  const found: Uint8Array[] = [];
  for (let at = Number(first[0]); at !== 0; at = read.ptr(at as Pointer, 40)) {
    const [length, address] = [read.u32(at as Pointer, 16), read.ptr(at as Pointer, 24) as Pointer];
    found.push(Uint8Array.from({ length }, (_, i) => read.u8(address, i)));
  }
  C.freeaddrinfo(Number(first[0]) as Pointer);
  return found;
}
