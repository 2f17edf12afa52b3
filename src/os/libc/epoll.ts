/** epoll(7): many descriptors that are waited for at once. */
import { ptr } from "bun:ffi";
import { check, errno, openLibc, SystemError } from "./library.ts";
import { SOCK } from "./numbers.ts";

const C = openLibc({
  epoll_create1: { args: ["int"], returns: "int" },
  epoll_ctl: { args: ["int", "int", "int", "ptr"], returns: "int" },
  epoll_wait: { args: ["int", "ptr", "int", "int"], returns: "int" },
});

const CTL = { add: 1, remove: 2, change: 3 } as const;
export const EVENT = { in: 1, out: 4, error: 8, hangup: 16 } as const;
/** struct epoll_event is packed on x86-64 alone. */
const EVENT_BYTES = process.arch === "x64" ? 12 : 16;
const DATA_AT = EVENT_BYTES - 8;
const EVENTS_MAX = 256;

/** A set of descriptors that are waited for; level-triggered. */
export class Epoll {
  readonly #fd = check("epoll_create1", C.epoll_create1(SOCK.cloexec));
  readonly #one = new DataView(new ArrayBuffer(EVENT_BYTES));
  readonly #many = new DataView(new ArrayBuffer(EVENT_BYTES * EVENTS_MAX));

  #control(call: number, fd: number, events: number): void {
    this.#one.setUint32(0, events, true);
    this.#one.setInt32(DATA_AT, fd, true);
    check("epoll_ctl", C.epoll_ctl(this.#fd, call, fd, ptr(this.#one)));
  }

  add(fd: number, events: number): void {
    this.#control(CTL.add, fd, events);
  }

  change(fd: number, events: number): void {
    this.#control(CTL.change, fd, events);
  }

  /** Before it is closed: a duplicate elsewhere would keep it in the set. */
  remove(fd: number): void {
    this.#control(CTL.remove, fd, 0);
  }

  /** Calls `use` for each of which there is something to say; a negative time waits for ever. A signal ends the wait. */
  wait(ms: number, use: (fd: number, events: number) => void): void {
    const found = C.epoll_wait(this.#fd, ptr(this.#many), EVENTS_MAX, ms);
    if (found < 0 && errno() !== "EINTR") throw new SystemError("epoll_wait", errno());
    for (let i = 0; i < found; i++) {
      const at = i * EVENT_BYTES;
      use(this.#many.getInt32(at + DATA_AT, true), this.#many.getUint32(at, true));
    }
  }
}
