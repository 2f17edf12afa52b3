/** The accept queue of a listening Unix socket, from the kernel's sock_diag(7) (linux/unix_diag.h). */
import { close, openSockDiag, recv, SystemError, send } from "./libc.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const AF_UNIX = 1;
const LISTENING = 1 << 10;
const UDIAG_SHOW_RQLEN = 0x10;
const UNIX_DIAG_RQLEN = 4;
const NETLINK_HEADER = 16;
const UNIX_DIAG_MESSAGE = 16;

/** Connections that wait to be accepted, by the listener's inode; undefined where the kernel does not say. */
export function unixQueue(inode: number): number | undefined {
  try {
    const fd = openSockDiag();
    try {
      send(fd, question(inode));
      const buffer = new Uint8Array(4096);
      const length = recv(fd, buffer);
      return length === undefined ? undefined : queueIn(new DataView(buffer.buffer, 0, length));
    } finally {
      close(fd);
    }
  } catch (error) {
    // A kernel without unix_diag, or a sandbox that forbids netlink: then it is not known.
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** struct nlmsghdr and struct unix_diag_req. */
function question(inode: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(40));
  view.setUint32(0, 40, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  view.setUint8(16, AF_UNIX);
  view.setUint32(20, LISTENING, true);
  view.setUint32(24, inode, true);
  view.setUint32(28, UDIAG_SHOW_RQLEN, true);
  // No cookie: the inode alone names the socket.
  view.setUint32(32, 0xffffffff, true);
  view.setUint32(36, 0xffffffff, true);
  return new Uint8Array(view.buffer);
}

/** An error message has another type, and then there is no such socket. */
function queueIn(message: DataView): number | undefined {
  if (message.byteLength < NETLINK_HEADER || message.getUint16(4, true) !== SOCK_DIAG_BY_FAMILY)
    return undefined;
  for (let at = NETLINK_HEADER + UNIX_DIAG_MESSAGE; at + 4 <= message.byteLength; ) {
    const length = message.getUint16(at, true);
    if (length < 4) return undefined;
    if (message.getUint16(at + 2, true) === UNIX_DIAG_RQLEN) return message.getUint32(at + 4, true);
    at += (length + 3) & ~3;
  }
  return undefined;
}
