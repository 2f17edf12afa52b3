/** Directories and links without a string for each name: /proc is read often, and is large. */
import { ptr } from "bun:ffi";
import { check, openLibc } from "./library.ts";
import { SOCK } from "./numbers.ts";

const C = openLibc({
  open: { args: ["ptr", "int"], returns: "int" },
  readlink: { args: ["ptr", "ptr", "u64"], returns: "i64" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64"], returns: "i64" },
});

const SYS_GETDENTS64 = process.arch === "arm64" ? 61 : 217;
const O_DIRECTORY_CLOEXEC = (process.arch === "arm64" ? 0o40000 : 0o200000) | SOCK.cloexec;

/** open(2) of a directory for `directoryEntries`. `path` ends with NUL. */
export const openDirectory = (path: Uint8Array): number =>
  check("open", C.open(ptr(path), O_DIRECTORY_CLOEXEC));

/** getdents64(2): the next entries of a directory as the kernel writes them; 0 bytes at the end. */
export const directoryEntries = (fd: number, buffer: Uint8Array): number =>
  check("getdents64", C.syscall(SYS_GETDENTS64, fd, ptr(buffer), buffer.length, 0));

/** readlink(2): the bytes written to `target`, 0 where there is no such link. `path` ends with NUL. */
export const linkInto = (path: Uint8Array, target: Uint8Array): number =>
  Math.max(0, Number(C.readlink(ptr(path), ptr(target), target.length)));
