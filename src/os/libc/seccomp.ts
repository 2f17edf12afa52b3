/** seccomp(2): a filter that traps calls, and the notifications of those (seccomp_unotify(2)). */
import { ptr } from "bun:ffi";
import { constants } from "node:os";
import { type BpfInstruction, programOf } from "./bpf.ts";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { PR_SET_NO_NEW_PRIVS, SOCK } from "./numbers.ts";

const C = openLibc({
  ioctl: { args: ["int", "u64", "ptr"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  prctl: { args: ["int", "u64", "u64", "u64", "u64"], returns: "int" },
  syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
});

const SYS_SECCOMP = process.arch === "arm64" ? 277 : 317;
const SECCOMP_SET_MODE_FILTER = 1;
const SPEC_ALLOW = 1 << 2;
const NEW_LISTENER = 1 << 3;

/** Linux 5.19: once received, only a deadly signal interrupts the caller. */
const WAIT_KILLABLE_RECV = 1 << 5;

/**
 * Installs a filter on this process, for good and for all that it starts, and returns the descriptor of its notifications.
 * With CAP_SYS_ADMIN as it is; else no_new_privs(2) is set first, as the kernel asks. Throws SystemError: EBUSY where a process above has
 * such a filter already, EINVAL before Linux 5.5, ENOSYS without seccomp.
 */
export function installFilter(program: readonly BpfInstruction[]): { fd: number; noNewPrivileges: boolean } {
  const fprog = programOf(program);
  const install = (flags: number) =>
    Number(C.syscall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, BigInt(ptr(fprog)) as never));
  const tryAll = (): number => {
    const fd = install(NEW_LISTENER | SPEC_ALLOW | WAIT_KILLABLE_RECV);
    return fd < 0 && errno() === "EINVAL" ? install(NEW_LISTENER | SPEC_ALLOW) : fd;
  };
  let fd = tryAll();
  const refused = fd < 0 && errno() === "EACCES";
  if (refused) {
    check("prctl(PR_SET_NO_NEW_PRIVS)", C.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n));
    fd = tryAll();
  }
  return { fd: check("seccomp", fd), noNewPrivileges: refused };
}

const NOTIF_RECV = 0xc0502100n;
const NOTIF_SEND = 0xc0182101n;
const NOTIF_ID_VALID = 0x40082102n;
const NOTIF_ADDFD = 0x40182103n;
const ADDFD_SETFD = 1;
const SEND_CONTINUE = 1;

/** struct seccomp_notif */
export const NOTIFICATION_BYTES = 80;

/**
 * Takes the next notification into `memory`. False where there is none after all: its caller died or was interrupted. Does not wait
 * where poll(2) said POLLIN.
 */
export function receiveNotification(fd: number, memory: Uint8Array): boolean {
  memory.fill(0); // the kernel refuses anything else (EINVAL)
  if (C.ioctl(fd, NOTIF_RECV, ptr(memory)) === 0) return true;
  const name = errno();
  if (name === "ENOENT" || name === "EINTR" || name === "EAGAIN") return false;
  throw new SystemError("ioctl(SECCOMP_IOCTL_NOTIF_RECV)", name);
}

/** The caller still waits for this answer: what was read of its pid was read of the right process. */
export function isNotificationValid(fd: number, id: bigint): boolean {
  const value = new BigUint64Array([id]);
  return C.ioctl(fd, NOTIF_ID_VALID, ptr(value)) === 0;
}

/** struct seccomp_notif_resp; one for all, since a service may make many calls a second. */
const RESPONSE = new DataView(new ArrayBuffer(24));

const RESPONSE_AT = ptr(RESPONSE);

/** What a trapped call returns, or that it is carried out as it was made. */
export type Answer = "continue" | { value: number } | { errno: keyof typeof constants.errno };

/** False where no process waits for it any more, which is not an error. */
export function answerNotification(fd: number, id: bigint, answer: Answer): boolean {
  const isOn = answer === "continue";
  RESPONSE.setBigUint64(0, id, true);
  RESPONSE.setInt32(8, !isOn && "value" in answer ? answer.value : 0, true);
  RESPONSE.setInt32(16, !isOn && "errno" in answer ? -(constants.errno[answer.errno] ?? 5) : 0, true);
  RESPONSE.setUint32(20, isOn ? SEND_CONTINUE : 0, true);
  if (C.ioctl(fd, NOTIF_SEND, RESPONSE_AT) === 0) return true;
  const name = errno();
  if (name === "ENOENT" || name === "EINPROGRESS") return false;
  throw new SystemError("ioctl(SECCOMP_IOCTL_NOTIF_SEND)", name);
}

/** Puts our open file `fd` at `number` in the caller's table, in the place of what is there. Throws SystemError. */
export function placeDescriptor(
  notify: number,
  id: bigint,
  fd: number,
  { number, cloexec }: { number: number; cloexec: boolean },
): void {
  const request = new DataView(new ArrayBuffer(24));
  request.setBigUint64(0, id, true);
  request.setUint32(8, ADDFD_SETFD, true);
  request.setUint32(12, fd, true);
  request.setUint32(16, number, true);
  request.setUint32(20, cloexec ? SOCK.cloexec : 0, true);
  check("ioctl(SECCOMP_IOCTL_NOTIF_ADDFD)", C.ioctl(notify, NOTIF_ADDFD, ptr(request)));
}

/** Whether this kernel can place descriptors (Linux 5.9): of a call that is not made it says so in another way. */
export function canPlaceDescriptors(notify: number): boolean {
  const request = new DataView(new ArrayBuffer(24));
  C.ioctl(notify, NOTIF_ADDFD, ptr(request));
  return errno() === "ENOENT";
}

/** A call with something in memory that is trapped, and fails: EBADF where its supervisor has let it go on. Throws SystemError of anything else. */
export function tryTrappedCall(bytes: Uint8Array): void {
  if (C.bind(-1, ptr(bytes), bytes.length) === 0) return;
  const name = errno();
  if (name !== "EBADF") throw new SystemError("bind", name);
}
