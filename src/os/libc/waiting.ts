/** What a program without an event loop waits for: descriptors, the ends of its children. */
import { ptr } from "bun:ffi";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { SOCK } from "./numbers.ts";
import { signalSet } from "./signal-set.ts";

const C = openLibc({
  poll: { args: ["ptr", "u64", "int"], returns: "int" },
  read: { args: ["int", "ptr", "u64"], returns: "i64" },
  signalfd: { args: ["int", "ptr", "int"], returns: "int" },
  waitpid: { args: ["int", "ptr", "int"], returns: "int" },
});

export interface Polled {
  fd: number;
  readable: boolean;
  /** The peer has closed; of a notification's descriptor: no process has its filter any more. */
  ended: boolean;
}

/** poll(2) for reading; `timeoutMs` below 0 waits for ever. Those about which there is something to say; a signal is none. */
export function waitFor(fds: readonly number[], timeoutMs: number): Polled[] {
  const set = new DataView(new ArrayBuffer(8 * fds.length));
  for (const [i, fd] of fds.entries()) {
    set.setInt32(8 * i, fd, true);
    set.setInt16(8 * i + 4, 1, true);
  }
  const giveUpAt = performance.now() + timeoutMs;
  let leftMs = timeoutMs;
  while (C.poll(ptr(set), fds.length as never, leftMs) < 0) {
    const name = errno();
    if (name !== "EINTR") throw new SystemError("poll", name);
    if (timeoutMs >= 0) leftMs = Math.max(0, Math.ceil(giveUpAt - performance.now()));
  }
  return fds.flatMap((fd, i) => {
    const seen = set.getInt16(8 * i + 6, true);
    return seen === 0 ? [] : [{ fd, readable: (seen & 1) !== 0, ended: (seen & 0x38) !== 0 }];
  });
}

/** Readable when one of them has come. Only where they are blocked from the start on (startProgram), in all threads of the runtime. */
export const signalsAsInput = (signals: Parameters<typeof signalSet>[0]): number =>
  check("signalfd", C.signalfd(-1, ptr(signalSet(signals)), SOCK.cloexec | SOCK.nonblocking));

/** Reads what a signalfd has, so that it is readable only by what comes next. */
export function drainSignals(fd: number): void {
  const info = new Uint8Array(128);
  while (C.read(fd, ptr(info), 128n as never) > 0);
}

/** The next child that has ended, with its status as wait(2) has it; undefined where none has. */
export function takeEnded(): { pid: number; status: number } | undefined {
  const status = new Int32Array(1);
  const pid = C.waitpid(-1, ptr(status), 1);
  return pid > 0 ? { pid, status: status[0] ?? 0 } : undefined;
}
