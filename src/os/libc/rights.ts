/** Rights over files: given up for good (landlock(7)), changed for a moment (setfsuid(2)), asked about (faccessat2(2)). */
import { ptr } from "bun:ffi";
import { closeSync, existsSync, openSync } from "node:fs";
import { close } from "./descriptors.ts";
import { cString, errno, openLibc } from "./library.ts";
import { PR_SET_NO_NEW_PRIVS } from "./numbers.ts";

const C = openLibc({
  prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64"], returns: "i64" },
});

const SYS_LANDLOCK = { create: 444, addRule: 445, restrict: 446 } as const;
const LANDLOCK_CREATE_RULESET_VERSION = 1;
const LANDLOCK_RULE_PATH_BENEATH = 1;

/** landlock(7): write to a file (bit 1), remove (4, 5) and make (6 to 12) anything; truncate (14) from the third version on. */
const WRITE_FILE = 1n << 1n;

const TRUNCATE = 1n << 14n;
const WRITES = WRITE_FILE | (0x1ffn << 4n);
const O_PATH_CLOEXEC = 0o10000000 | 0o2000000;

/**
 * From now on this process and everything that it starts can write to, make or remove no file except these; open files stay open. False if
 * the kernel has no Landlock (before 5.13, or left out). There is no way back. It does not protect mode, owner and times of a file.
 */
export function forbidWrites(except: readonly string[]): boolean {
  const version = C.syscall(SYS_LANDLOCK.create, 0, 0, LANDLOCK_CREATE_RULESET_VERSION, 0);
  if (version < 1n) return false;
  const handled = version >= 3n ? WRITES | TRUNCATE : WRITES;
  const ruleset = Number(C.syscall(SYS_LANDLOCK.create, ptr(new BigUint64Array([handled])), 8, 0, 0));
  if (ruleset < 0) return false;
  try {
    for (const path of except) allowWrites(ruleset, path, handled & (WRITE_FILE | TRUNCATE));
    return (
      C.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) === 0 &&
      C.syscall(SYS_LANDLOCK.restrict, ruleset, 0, 0, 0) === 0n
    );
  } finally {
    close(ruleset);
  }
}

/** struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of descriptor. */
function allowWrites(ruleset: number, path: string, rights: bigint): void {
  if (!existsSync(path)) return;
  const fd = openSync(path, O_PATH_CLOEXEC);
  const rule = new DataView(new ArrayBuffer(12));
  rule.setBigUint64(0, rights, true);
  rule.setInt32(8, fd, true);
  C.syscall(SYS_LANDLOCK.addRule, ruleset, LANDLOCK_RULE_PATH_BENEATH, ptr(new Uint8Array(rule.buffer)), 0);
  closeSync(fd);
}

const ARM = process.arch === "arm64";
const SYS_SETFSUID = ARM ? 151 : 122;
const SYS_SETFSGID = ARM ? 152 : 123;
const SYS_SETGROUPS = ARM ? 159 : 116;

export interface FileIdentity {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/**
 * The rights of this thread over files and /proc are those of another user until `use` is over (setfsuid(2); the raw calls
 * change one thread). Nothing happens where they are ours already, or where we are not root.
 */
export function withIdentity<T>(identity: FileIdentity, own: FileIdentity, use: () => T): T {
  if (own.uid !== 0 || (identity.uid === own.uid && identity.gid === own.gid)) return use();
  setIdentity(identity);
  try {
    return use();
  } finally {
    setIdentity(own);
  }
}

function setIdentity({ uid, gid, groups }: FileIdentity): void {
  const list = Uint32Array.from(groups);
  // Groups first on the way down and last on the way up: only root may set them, and fsuid does not change that.
  C.syscall(SYS_SETGROUPS, list.length, list.length > 0 ? ptr(list) : 0, 0, 0);
  C.syscall(SYS_SETFSGID, gid, 0, 0, 0);
  C.syscall(SYS_SETFSUID, uid, 0, 0, 0);
}

const SYS_FACCESSAT2 = 439;
const AT_FDCWD = -100;
const AT_EACCESS = 0x200;
const X_OK = 1;

/** Whether this thread, with the rights that it has at this moment, may execute it; undefined before Linux 5.8. access(2) asks for the real user. */
export function mayExecute(path: string): boolean | undefined {
  const name = cString(path);
  if (C.syscall(SYS_FACCESSAT2, AT_FDCWD, ptr(name), X_OK, AT_EACCESS) === 0n) return true;
  return errno() === "ENOSYS" ? undefined : false;
}
