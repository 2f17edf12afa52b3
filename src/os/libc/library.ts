/**
 * How the files of this folder, and only these, call libc: each binds the functions of its subject, with their man page and what they
 * throw. There is no policy here. A failed call throws SystemError with the errno's name; where waiting is normal, EAGAIN is a result and
 * not an error.
 */
import { CString, dlopen, type FFIFunction, type Pointer, ptr, read } from "bun:ffi";
import { constants } from "node:os";
import { HupwatchError } from "../../error.ts";

const LIBC = libcName();

const C = openLibc({
  __errno_location: { args: [], returns: "ptr" },
  strerror: { args: ["int"], returns: "ptr" },
});

/** A failed system call: `errno` is the symbolic name, e.g. `EADDRINUSE`. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  constructor(
    readonly syscall: string,
    readonly errno: string,
  ) {
    super(`${syscall}: ${errno} (${strerror(errno)})`);
  }
}

/** Throws HupwatchError where the runtime got no executable memory, without which it calls no library. */
export function openLibc<const T extends Record<string, FFIFunction>>(functions: T) {
  try {
    return dlopen(LIBC, functions).symbols;
  } catch (cause) {
    if (!String(cause).includes("requires the JIT")) throw cause;
    throw noExecutableMemory(cause);
  }
}

/** prctl(2), PR_SET_MDWE, as MemoryDenyWriteExecute= of systemd.exec(5) sets it; or RLIMIT_AS of getrlimit(2). */
function noExecutableMemory(cause: unknown): HupwatchError {
  const { readFileSync } = process.getBuiltinModule("node:fs");
  const limit = /^Max address space +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const [why, hint] =
    limit === undefined
      ? [
          "MemoryDenyWriteExecute= of its unit (or prctl PR_SET_MDWE) refuses it",
          "take MemoryDenyWriteExecute= out of the unit",
        ]
      : [
          `an address space limit of ${Math.floor(Number(limit) / 1024 ** 2)} MB (ulimit -v, LimitAS=, chpst -m) is too small`,
          "raise it to 800 MB or more; to limit the memory that is in use, use MemoryMax= or a container's limit",
        ];
  return new HupwatchError(
    "runtime.no-executable-memory",
    `the runtime cannot get executable memory: ${why}`,
    {
      hint,
      cause,
    },
  );
}

/** The file of the C library that this machine has. Asked without node:fs, whose load is a quarter of a small program's start. */
function libcName(): string {
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const musl = `/lib/libc.musl-${machine}.so.1`;
  return Bun.file(musl).size > 0 ? musl : "libc.so.6";
}

/** The errno of the call just made, by its name. */
export const errno = (): string => errnoName(read.i32(C.__errno_location() as Pointer, 0));

let errnoNames: Map<number, string> | undefined;

/** `E` and the number where it has no name. */
export function errnoName(number: number): string {
  // EWOULDBLOCK is Linux's second name of EAGAIN; the callers know the first.
  errnoNames ??= new Map(
    Object.entries(constants.errno)
      .filter(([name]) => name !== "EWOULDBLOCK")
      .map(([name, n]) => [n, name]),
  );
  return errnoNames.get(number) ?? `E${number}`;
}

function strerror(name: string): string {
  const number = constants.errno[name as keyof typeof constants.errno];
  return number === undefined ? "unknown error" : new CString(C.strerror(number) as Pointer).toString();
}

/** A string as C has it. The caller keeps the buffer as long as the kernel may look at it. */
export const cString = (text: string): Uint8Array => Buffer.from(`${text}\0`);

/** `char *[]` with its closing null, and the strings that must live as long. */
export function cStrings(texts: readonly string[]): { pointers: BigUint64Array; kept: Uint8Array[] } {
  const kept = texts.map(cString);
  return { pointers: BigUint64Array.from([...kept.map((bytes) => BigInt(ptr(bytes))), 0n]), kept };
}

/** The result of a call, or SystemError where it is negative. */
export function check(syscall: string, result: number | bigint): number {
  if (result < 0) throw new SystemError(syscall, errno());
  return Number(result);
}
