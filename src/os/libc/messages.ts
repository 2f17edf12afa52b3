/** Messages with descriptors beside them: unix(7), SCM_RIGHTS. These calls wait. */
import { ptr } from "bun:ffi";
import { close } from "./descriptors.ts";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { controlLengthOf, flagsOf, messageHeader } from "./message-header.ts";
import { AF, MSG_NOSIGNAL, SOCK, SOL_SOCKET } from "./numbers.ts";

const C = openLibc({
  accept4: { args: ["int", "ptr", "ptr", "int"], returns: "int" },
  recvmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  sendmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  socket: { args: ["int", "int", "int"], returns: "int" },
  socketpair: { args: ["int", "int", "int", "ptr"], returns: "int" },
  write: { args: ["int", "ptr", "u64"], returns: "i64" },
});

const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 8;
const SCM_RIGHTS = 1;

/** SCM_MAX_FD of the kernel. */
export const MAX_DESCRIPTORS = 253;

/** Two connected sockets, close-on-exec; `packets` keep the boundaries of what is sent. */
export function socketPair(kind: "stream" | "packets"): [number, number] {
  const fds = new Int32Array(2);
  const type = kind === "stream" ? SOCK.stream : SOCK.packets;
  check("socketpair", C.socketpair(AF.unix, type | SOCK.cloexec, 0, ptr(fds)));
  return [fds[0] as number, fds[1] as number];
}

/** An unconnected socket that keeps the boundaries of what is sent; close-on-exec. */
export const packetSocket = (): number => check("socket", C.socket(AF.unix, SOCK.packets | SOCK.cloexec, 0));

/** accept4(2), close-on-exec. Throws SystemError. */
export const accept = (fd: number): number => check("accept4", C.accept4(fd, null, null, SOCK.cloexec));

/** SO_SNDBUF, as far as the kernel lets it: what one packet can carry (socket(7)). */
export function setSendBuffer(fd: number, bytes: number): void {
  const value = new Int32Array([bytes]);
  C.setsockopt(fd, SOL_SOCKET, 7, ptr(value), 4);
  C.setsockopt(fd, SOL_SOCKET, 32, ptr(value), 4); // SO_SNDBUFFORCE: for root
}

/** SO_SNDTIMEO: a send that waits for so long fails with EAGAIN (socket(7)). */
export function setSendTimeout(fd: number, ms: number): void {
  const value = new BigInt64Array([BigInt(Math.floor(ms / 1000)), BigInt((ms % 1000) * 1000)]);
  check("setsockopt(SO_SNDTIMEO)", C.setsockopt(fd, SOL_SOCKET, 21, ptr(value), 16));
}

/** One message with descriptors beside it. Waits where the peer's buffer is full. Throws SystemError. */
export function sendWithDescriptors(socket: number, bytes: Uint8Array, fds: readonly number[] = []): void {
  if (fds.length > MAX_DESCRIPTORS) throw new SystemError("sendmsg", "EINVAL");
  const length = 16 + 4 * fds.length;
  const sent = messageHeader(bytes, fds.length === 0 ? 0 : Math.ceil(length / 8) * 8);
  if (fds.length > 0) {
    const view = sent.control;
    view.setBigUint64(0, BigInt(length), true);
    view.setInt32(8, SOL_SOCKET, true);
    view.setInt32(12, SCM_RIGHTS, true);
    for (const [i, fd] of fds.entries()) view.setInt32(16 + 4 * i, fd, true);
  }
  for (;;) {
    if (C.sendmsg(socket, ptr(sent.header), MSG_NOSIGNAL) >= 0) return;
    const name = errno();
    if (name !== "EINTR") throw new SystemError("sendmsg", name);
  }
}

export interface Received {
  /** Empty where the peer has closed. */
  bytes: Uint8Array;
  /** Ours to close; close-on-exec. */
  fds: number[];
  isWhole: boolean;
}

/**
 * Waits for one message of at most `maxBytes`. Throws SystemError. Where its descriptors were lost, since no more may be open, it has none of
 * them, and says so.
 */
export function receiveWithDescriptors(socket: number, maxBytes: number): Received {
  const buffer = new Uint8Array(maxBytes);
  const got = messageHeader(buffer, 16 + 4 * MAX_DESCRIPTORS + 4);
  let n: number;
  do n = Number(C.recvmsg(socket, ptr(got.header), MSG_CMSG_CLOEXEC));
  while (n < 0 && errno() === "EINTR");
  check("recvmsg", n);
  const { control } = got;
  const controlBytes = controlLengthOf(got);
  const fds: number[] = [];
  for (let at = 0; at + 16 <= controlBytes; ) {
    const length = Number(control.getBigUint64(at, true));
    if (length < 16) break;
    if (control.getInt32(at + 8, true) === SOL_SOCKET && control.getInt32(at + 12, true) === SCM_RIGHTS)
      for (let i = at + 16; i + 4 <= at + length; i += 4) fds.push(control.getInt32(i, true));
    at += Math.ceil(length / 8) * 8;
  }
  const isWhole = (flagsOf(got) & MSG_CTRUNC) === 0;
  if (!isWhole) for (const fd of fds.splice(0)) close(fd);
  return { bytes: buffer.subarray(0, n), fds, isWhole };
}

/** write(2) that waits: all of it. Throws SystemError. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0; ) {
    const n = Number(C.write(fd, ptr(rest), rest.length as never));
    if (n < 0 && errno() !== "EINTR") throw new SystemError("write", errno());
    if (n > 0) rest = rest.subarray(n);
  }
}
