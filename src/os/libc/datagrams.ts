/** Unix datagrams, which the runtime does not have, and the process that sent one (unix(7)). */
import { ptr } from "bun:ffi";
import { unixAddress } from "../unix-address.ts";
import { close } from "./descriptors.ts";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { flagsOf, messageHeader } from "./message-header.ts";
import { AF, MSG_NOSIGNAL, SOCK, SOL_SOCKET } from "./numbers.ts";
import { bindPrivately, setFlag } from "./sockets.ts";

const C = openLibc({
  connect: { args: ["int", "ptr", "u32"], returns: "int" },
  recvmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  send: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  socket: { args: ["int", "int", "int"], returns: "int" },
});

const MSG_TRUNC = 0x20;
const SCM_CREDENTIALS = 2;

/**
 * A non-blocking Unix datagram socket, bound to `path` with mode 0600, or to the abstract name behind an `@`. The kernel
 * notes with each datagram which process sent it (SO_PASSCRED), from the first one on.
 */
export function bindDatagram(path: string): number {
  const fd = check("socket", C.socket(AF.unix, SOCK.datagram | SOCK.cloexec | SOCK.nonblocking, 0));
  try {
    setFlag(fd, "passcred");
    bindPrivately(fd, addressOf(path));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** As sd_notify(3) writes it: an abstract name stands behind an `@`. */
const addressOf = (path: string): Uint8Array => unixAddress(path.replace(/^@/, "\0"));

/** One datagram to such an address, without waiting. Throws where no process listens or the receiver is full. */
export function sendDatagram(path: string, bytes: Uint8Array): void {
  const address = addressOf(path);
  const fd = check("socket", C.socket(AF.unix, SOCK.datagram | SOCK.cloexec | SOCK.nonblocking, 0));
  try {
    check("connect", C.connect(fd, ptr(address), address.length));
    check("send", C.send(fd, ptr(bytes), bytes.length, MSG_NOSIGNAL));
  } finally {
    close(fd);
  }
}

export interface Sender {
  /** 0 for a process of another pid namespace. */
  pid: number;
  /** Its real uid, unless it may name another one of its own (unix(7)). */
  uid: number;
}

export interface Datagram {
  bytes: Uint8Array;
  /** Undefined where the kernel does not say. */
  sender: Sender | undefined;
}

/** struct cmsghdr and struct ucred, aligned: no room is left for descriptors, which the kernel closes then. */
const CREDENTIALS_BYTES = 32;

/**
 * One datagram into `buffer`, and its sender (SCM_CREDENTIALS); undefined when none is there. Of one that is longer than
 * the buffer nothing is told: its last line could be half a one.
 */
export function recvDatagram(fd: number, buffer: Uint8Array): Datagram | undefined {
  const message = messageHeader(buffer, CREDENTIALS_BYTES);
  const n = Number(C.recvmsg(fd, ptr(message.header), 0));
  if (n < 0) {
    const name = errno();
    if (name === "EAGAIN") return undefined;
    throw new SystemError("recvmsg", name);
  }
  const isWhole = (flagsOf(message) & MSG_TRUNC) === 0;
  const { control } = message;
  const isSaid = control.getInt32(8, true) === SOL_SOCKET && control.getInt32(12, true) === SCM_CREDENTIALS;
  const sender = isSaid ? { pid: control.getInt32(16, true), uid: control.getUint32(20, true) } : undefined;
  return { bytes: isWhole ? buffer.subarray(0, n) : buffer.subarray(0, 0), sender };
}
