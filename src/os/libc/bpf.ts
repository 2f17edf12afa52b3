/** Classic BPF programs and where the kernel uses them: as the selector of a SO_REUSEPORT group, as the filter of one socket (socket(7)). */
import { ptr } from "bun:ffi";
import { check, openLibc } from "./library.ts";
import { SOL_SOCKET } from "./numbers.ts";

const C = openLibc({
  getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
});

/** Also SO_GET_FILTER. */
const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
const SO_ATTACH_REUSEPORT_CBPF = 51;

/** One classic-BPF instruction: [code, jump if true, jump if false, k] (struct sock_filter). */
export type BpfInstruction = readonly [code: number, jt: number, jf: number, k: number];

const FPROG_BYTES = 16;

/** struct sock_fprog, with the instructions that it points to behind it: one piece of memory, which lives as long as it is used. */
export function programOf(program: readonly BpfInstruction[]): DataView {
  const fprog = new DataView(new ArrayBuffer(FPROG_BYTES + 8 * program.length));
  fprog.setUint16(0, program.length, true);
  fprog.setBigUint64(8, BigInt(ptr(fprog) + FPROG_BYTES), true);
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    const at = FPROG_BYTES + 8 * i;
    fprog.setUint16(at, code, true);
    fprog.setUint8(at + 2, jt);
    fprog.setUint8(at + 3, jf);
    fprog.setUint32(at + 4, k >>> 0, true);
  }
  return fprog;
}

/** SO_ATTACH_REUSEPORT_CBPF (Linux 4.6): replaces the selector of the whole group `fd` is in. Unprivileged. */
export function attachReuseportSelector(fd: number, program: readonly BpfInstruction[]): void {
  const fprog = programOf(program);
  check(
    "setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
    C.setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(fprog), FPROG_BYTES),
  );
}

/** SO_ATTACH_FILTER: `program` says of each packet how much of it the socket takes. Throws SystemError where the socket has one that is locked. */
export function attachFilter(fd: number, program: readonly BpfInstruction[]): void {
  const fprog = programOf(program);
  check(
    "setsockopt(SO_ATTACH_FILTER)",
    C.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ptr(fprog), FPROG_BYTES),
  );
}

export const detachFilter = (fd: number): void =>
  void check(
    "setsockopt(SO_DETACH_FILTER)",
    C.setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, ptr(new Int32Array(1)), 4),
  );

/** Whether it has one, of whatever kind. */
export function hasFilter(fd: number): boolean {
  const instructions = new Uint32Array(1);
  const none = ptr(new Uint8Array(8));
  return C.getsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, none, ptr(instructions)) < 0 || instructions[0] !== 0;
}
