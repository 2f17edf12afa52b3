/** Connections that another process has, or had: what the kernel knows of them (tcp(7), unix(7)), and others in their place. */
import { ptr } from "bun:ffi";
import { attachFilter, type BpfInstruction, detachFilter, hasFilter } from "./bpf.ts";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { IPPROTO_TCP, SOL_SOCKET } from "./numbers.ts";

const C = openLibc({
  connect: { args: ["int", "ptr", "u32"], returns: "int" },
  getpeername: { args: ["int", "ptr", "ptr"], returns: "int" },
  getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
  ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
});

const IPPROTO_IP = 0;
const SO_LINGER = 13;
const SO_PEERCRED = 17;
const SO_RCVLOWAT = 18;
const IP_BIND_ADDRESS_NO_PORT = 24;
const TCP_INFO = 11;
const FIONREAD = 0x541b;

/** linux/tcp.h, struct tcp_info: where its fields are, and the last of them that is needed (Linux 4.19). */
const INFO = {
  lastSent: 44,
  lastReceived: 52,
  lastAck: 56,
  bytesReceived: 128,
  bytesNotSent: 144,
  bytesSent: 200,
  bytesResent: 208,
  bytes: 216,
} as const;

export interface TcpState {
  /** In order, and with those that are not read yet. */
  bytesReceived: number;
  /** Each once, however often the kernel has sent it. */
  bytesSent: number;
  /** That the other end has no room for. */
  bytesNotSent: number;
  /** Milliseconds since it last sent and received data, and since the other end last acknowledged anything. */
  sentAgoMs: number;
  receivedAgoMs: number;
  ackAgoMs: number;
}

/** Undefined of a socket that is no TCP, and before Linux 4.19. */
export function tcpState(fd: number): TcpState | undefined {
  const info = new DataView(new ArrayBuffer(INFO.bytes));
  const length = new Uint32Array([INFO.bytes]);
  if (C.getsockopt(fd, IPPROTO_TCP, TCP_INFO, ptr(info), ptr(length)) < 0) return undefined;
  if ((length[0] ?? 0) < INFO.bytes) return undefined;
  return {
    bytesReceived: Number(info.getBigUint64(INFO.bytesReceived, true)),
    bytesSent: Number(info.getBigUint64(INFO.bytesSent, true) - info.getBigUint64(INFO.bytesResent, true)),
    bytesNotSent: info.getUint32(INFO.bytesNotSent, true),
    sentAgoMs: info.getUint32(INFO.lastSent, true),
    receivedAgoMs: info.getUint32(INFO.lastReceived, true),
    ackAgoMs: info.getUint32(INFO.lastAck, true),
  };
}

/** FIONREAD: bytes that have come and were not read. */
export function unreadBytes(fd: number): number {
  const count = new Int32Array(1);
  check("ioctl(FIONREAD)", C.ioctl(fd, BigInt(FIONREAD) as never, ptr(count)));
  return count[0] ?? 0;
}

/**
 * SO_RCVLOWAT: a process that waits for this connection is not woken before this many bytes have come. The kernel caps it at half of the
 * receive buffer. Bytes that have come are reported as soon as the mark is low enough again. Only TCP.
 */
export function setLowWater(fd: number, bytes: number): void {
  const value = new Int32Array([bytes]);
  check("setsockopt(SO_RCVLOWAT)", C.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, ptr(value), 4));
}

/** No server waits for this much: a mark this high was set by hupwatch. */
export const HELD_MARK = 256 * 1024;

export function lowWater(fd: number): number {
  const value = new Int32Array(1);
  const length = new Uint32Array([4]);
  check("getsockopt(SO_RCVLOWAT)", C.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, ptr(value), ptr(length)));
  return value[0] ?? 0;
}

/** Of a segment that a TCP socket gets, from its TCP header on: none of one that has data, all of any other. */
const NO_DATA: readonly BpfInstruction[] = [
  [0x30, 0, 0, 12], // ldb [12]: its header's length, as words in the upper half
  [0x54, 0, 0, 0xf0], // and #0xf0
  [0x74, 0, 0, 2], // rsh #2
  [0x07, 0, 0, 0], // tax
  [0x80, 0, 0, 0], // ld #len
  [0x1c, 0, 0, 0], // sub x
  [0x15, 0, 1, 0], // jeq #0
  [0x06, 0, 0, 0xffffffff], // ret #-1
  [0x06, 0, 0, 0], // ret #0
];

/**
 * Calls `act` while no data can come to that TCP connection. Its client must send again what it sends meanwhile (most often after 200 ms), so
 * `act` must be short. Returns whether it was called: not if the connection has a filter of its server, or can have none.
 */
export function withoutNewData(fd: number, act: () => void): boolean {
  if (hasFilter(fd)) return false;
  try {
    attachFilter(fd, NO_DATA);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return false;
  }
  try {
    act();
  } finally {
    detachFilter(fd);
  }
  return true;
}

/** The other end's address, raw. */
export function getpeername(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  check("getpeername", C.getpeername(fd, ptr(address), ptr(length)));
  return address.subarray(0, length[0]);
}

export interface Peer {
  uid: number;
  gid: number;
}

/** SO_PEERCRED of an accepted Unix connection: what its client was when it connected. */
export function peerOf(fd: number): Peer {
  const value = new Uint32Array(3);
  const length = new Uint32Array([12]);
  check("getsockopt(SO_PEERCRED)", C.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ptr(value), ptr(length)));
  const [, uid = 0, gid = 0] = value;
  return { uid, gid };
}

// --- a connection in the place of another one ---

/** Of a socket that is to be bound to an address with port 0: the port is chosen at the connect, of all that are free to that peer (Linux 4.2). */
export function choosePortLate(fd: number): void {
  const on = new Int32Array([1]);
  check(
    "setsockopt(IP_BIND_ADDRESS_NO_PORT)",
    C.setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, ptr(on), 4),
  );
}

const ARM = process.arch === "arm64";
const SYS_SETRESUID = ARM ? 147 : 117;
const SYS_SETRESGID = ARM ? 149 : 119;
const UNCHANGED = 0xffffffff;

/** connect(2) with the user and group that its server is to see (SO_PEERCRED), and with their rights; this thread alone. */
export function connectAs(
  fd: number,
  address: Uint8Array,
  peer: Peer,
  own: Peer,
): "connected" | "in-progress" {
  const become = ({ uid, gid }: Peer) =>
    C.syscall(SYS_SETRESGID, UNCHANGED, gid, UNCHANGED) === 0n &&
    C.syscall(SYS_SETRESUID, UNCHANGED, uid, UNCHANGED) === 0n;
  const isOther = peer.uid !== own.uid || peer.gid !== own.gid;
  if (isOther && !become(peer)) {
    const name = errno();
    become(own);
    throw new SystemError("setresuid", name);
  }
  try {
    if (C.connect(fd, ptr(address), address.length) === 0) return "connected";
    const name = errno();
    if (name === "EINPROGRESS") return "in-progress";
    throw new SystemError("connect", name);
  } finally {
    // The user first: only that one may have its group back.
    if (isOther) {
      C.syscall(SYS_SETRESUID, UNCHANGED, own.uid, UNCHANGED);
      C.syscall(SYS_SETRESGID, UNCHANGED, own.gid, UNCHANGED);
    }
  }
}

/** Its close(2) will be an RST, as its server's was. */
export function resetAtClose(fd: number): void {
  const linger = new Int32Array([1, 0]);
  check("setsockopt(SO_LINGER)", C.setsockopt(fd, SOL_SOCKET, SO_LINGER, ptr(linger), 8));
}
