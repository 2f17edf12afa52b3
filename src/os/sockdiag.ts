/** What the kernel's sock_diag(7) says of one socket (linux/unix_diag.h, linux/inet_diag.h): never a whole table. */
import { close, openSockDiag, recv, SystemError, send } from "./libc.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const ESTABLISHED = 1;
const ALL_STATES = 0xffffffff;
const NO_COOKIE = 0xffffffff;
/** The bit that asks for it, and the type of the attribute that tells it: { inode, device } and { queue, backlog }. */
const VFS = { show: 0x02, attribute: 1 } as const;
const QUEUE = { show: 0x10, attribute: 4 } as const;
const NETLINK_HEADER = 16;
const UNIX_DIAG_MESSAGE = 16;
/** struct unix_diag_msg: family, type, state. */
const UNIX_DIAG_STATE_AT = NETLINK_HEADER + 2;
/** struct inet_diag_msg: four bytes, struct inet_diag_sockid, then five numbers. */
const INET_DIAG = { requestBytes: 72, stateAt: 17, rqueueAt: 72, inodeAt: 84, messageBytes: 88 } as const;

/** Connections that wait to be accepted, by the listener's inode; undefined where the kernel does not say. */
export const unixQueue = (inode: number): number | undefined => askUnix(inode, QUEUE);

/** The inode of the file that it is bound to, its lower 32 bits, by the socket's own; undefined where the kernel does not say. */
export const boundInode = (inode: number): number | undefined => askUnix(inode, VFS);

function askUnix(inode: number, { show, attribute }: typeof VFS | typeof QUEUE): number | undefined {
  const answer = ask(unixRequest(inode, show));
  return answer && firstWord(answer, attribute);
}

export interface Endpoint {
  /** 4 or 16 bytes in network order. */
  host: Uint8Array;
  port: number;
}

/**
 * The end of a TCP connection on this machine that has `local` as its own address: the bytes that its owner has not read, and
 * whether it has an owner at all, which it gets by accept(2). Undefined where there is no such connection, or the kernel does
 * not say.
 */
export function tcpEnd(
  local: Endpoint,
  remote: Endpoint,
): { isAccepted: boolean; unread: number } | undefined {
  const family = local.host.length === 4 ? AF_INET : AF_INET6;
  const answer = ask(tcpRequest(family, endsOf(local, remote)));
  if (answer === undefined || answer.byteLength < INET_DIAG.messageBytes) return undefined;
  return {
    isAccepted: answer.getUint32(INET_DIAG.inodeAt, true) !== 0,
    unread: answer.getUint32(INET_DIAG.rqueueAt, true),
  };
}

/** The state of the TCP connection whose ends are these (the first 36 bytes of struct inet_diag_sockid), as long as it is this socket. */
export function connectionState(family: number, ends: Uint8Array, inode: number): number | undefined {
  const answer = ask(tcpRequest(family, ends));
  if (answer === undefined || answer.byteLength < INET_DIAG.messageBytes) return undefined;
  return answer.getUint32(INET_DIAG.inodeAt, true) === inode ? answer.getUint8(INET_DIAG.stateAt) : undefined;
}

/** The Unix socket with that inode is connected. */
export const isConnected = (inode: number): boolean =>
  ask(unixRequest(inode, 0))?.getUint8(UNIX_DIAG_STATE_AT) === ESTABLISHED;

/** One request, one answer; undefined where there is no such socket, without unix_diag, or where a sandbox forbids netlink. */
function ask(request: Uint8Array): DataView | undefined {
  try {
    const fd = openSockDiag();
    try {
      send(fd, request);
      const buffer = new Uint8Array(4096);
      const length = recv(fd, buffer);
      if (length === undefined || length < NETLINK_HEADER) return undefined;
      const answer = new DataView(buffer.buffer, 0, length);
      // An error message has another type.
      return answer.getUint16(4, true) === SOCK_DIAG_BY_FAMILY ? answer : undefined;
    } finally {
      close(fd);
    }
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** struct nlmsghdr for a request of so many bytes. */
function requestOf(bytes: number): DataView {
  const view = new DataView(new ArrayBuffer(bytes));
  view.setUint32(0, bytes, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  return view;
}

/** struct unix_diag_req. */
function unixRequest(inode: number, show: number): Uint8Array {
  const view = requestOf(40);
  view.setUint8(16, AF_UNIX);
  view.setUint32(20, ALL_STATES, true);
  view.setUint32(24, inode, true);
  view.setUint32(28, show, true);
  // No cookie: the inode alone names the socket.
  view.setUint32(32, NO_COOKIE, true);
  view.setUint32(36, NO_COOKIE, true);
  return new Uint8Array(view.buffer);
}

/** The first fields of struct inet_diag_sockid: both ports, both addresses. */
function endsOf(local: Endpoint, remote: Endpoint): Uint8Array {
  const view = new DataView(new ArrayBuffer(36));
  const bytes = new Uint8Array(view.buffer);
  view.setUint16(0, local.port);
  view.setUint16(2, remote.port);
  bytes.set(local.host, 4);
  bytes.set(remote.host, 20);
  return bytes;
}

/** struct inet_diag_req_v2 with both ends. */
function tcpRequest(family: number, ends: Uint8Array): Uint8Array {
  const view = requestOf(INET_DIAG.requestBytes);
  const bytes = new Uint8Array(view.buffer);
  view.setUint8(16, family);
  view.setUint8(17, IPPROTO_TCP);
  view.setUint32(20, ALL_STATES, true);
  bytes.set(ends, 24);
  view.setUint32(64, NO_COOKIE, true);
  view.setUint32(68, NO_COOKIE, true);
  return bytes;
}

export function firstWord(message: DataView, attribute: number): number | undefined {
  for (let at = NETLINK_HEADER + UNIX_DIAG_MESSAGE; at + 8 <= message.byteLength; ) {
    const length = message.getUint16(at, true);
    if (length < 4) return undefined;
    if (message.getUint16(at + 2, true) === attribute) return message.getUint32(at + 4, true);
    at += (length + 3) & ~3;
  }
  return undefined;
}
