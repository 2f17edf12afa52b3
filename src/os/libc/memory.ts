/** Memory that several processes have: memfd_create(2), mmap(2). */
import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { check, cString, errno, openLibc, SystemError } from "./library.ts";

const C = openLibc({
  ftruncate: { args: ["int", "i64"], returns: "int" },
  memfd_create: { args: ["ptr", "u32"], returns: "int" },
  mmap: { args: ["ptr", "u64", "int", "int", "int", "i64"], returns: "ptr" },
});

/** A file without a name, e.g. for what is too long for a packet; it is read through /proc/self/fd. */
export const anonymousFile = (name: string): number =>
  check("memfd_create", C.memfd_create(ptr(cString(name)), 1));

/** `bytes` of a memfd_create(2), shared by all processes that have it. */
export function sharedMemory(fd: number, bytes: number): Uint8Array {
  check("ftruncate", C.ftruncate(fd, BigInt(bytes) as never));
  const at = C.mmap(null, BigInt(bytes) as never, 3, 1, fd, 0n as never);
  if (at === null || Number(at) === -1) throw new SystemError("mmap", errno());
  return new Uint8Array(toArrayBuffer(at as Pointer, 0, bytes));
}
