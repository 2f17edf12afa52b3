/** Memory that several processes have: memfd_create(2), mmap(2), pread(2). */
import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { check, cString, errno, openLibc, SystemError } from "./library.ts";

const C = openLibc({
  ftruncate: { args: ["int", "i64"], returns: "int" },
  memfd_create: { args: ["ptr", "u32"], returns: "int" },
  mmap: { args: ["ptr", "u64", "int", "int", "int", "i64"], returns: "ptr" },
  pread: { args: ["int", "ptr", "u64", "i64"], returns: "i64" },
});

const READ_BYTES = 64 * 1024;

/** A file without a name, e.g. for what is too long for a packet. */
export const anonymousFile = (name: string): number =>
  check("memfd_create", C.memfd_create(ptr(cString(name)), 1));

/** All that is in such a file, wherever it was read or written last. Throws SystemError. */
export function contentsOf(fd: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; ; ) {
    const part = new Uint8Array(READ_BYTES);
    const n = check("pread", C.pread(fd, ptr(part), part.length as never, BigInt(at) as never));
    if (n === 0) return Buffer.concat(parts);
    parts.push(part.subarray(0, n));
    at += n;
  }
}

/** `bytes` of a memfd_create(2), shared by all processes that have it. */
export function sharedMemory(fd: number, bytes: number): Uint8Array {
  check("ftruncate", C.ftruncate(fd, BigInt(bytes) as never));
  const at = C.mmap(null, BigInt(bytes) as never, 3, 1, fd, 0n as never);
  if (at === null || Number(at) === -1) throw new SystemError("mmap", errno());
  return new Uint8Array(toArrayBuffer(at as Pointer, 0, bytes));
}
