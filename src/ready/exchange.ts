/**
 * One connection to a young generation and one HTTP request on it. Each look says how far the exchange is; the check decides what counts
 * as ready.
 */
import { HupwatchError } from "../error.ts";
import { ResponseReader } from "../http/response.ts";
import { SystemError } from "../os/libc.ts";
import type { Listener } from "../sockets/held.ts";
import type { Probe } from "../sockets/probe.ts";

export type Progress =
  /** Not accepted yet, or what was sent is not read yet. */
  | { kind: "unread" }
  /** Accepted, and everything that was sent has been read; for how long no byte has come back. */
  | { kind: "silent"; forMs: number }
  /** The head of an answer is here, for so long, and its body is not complete. */
  | { kind: "head"; status: number; forMs: number }
  | { kind: "answered"; status: number }
  /** It closed the connection; `within` what the end has cut off. */
  | { kind: "closed"; within: "nothing" | "the head" | "the body" }
  /** Bytes that are no HTTP/1: a TLS alert, HTTP/2, another protocol. */
  | { kind: "foreign"; problem: string }
  /** There is no connection. */
  | { kind: "refused"; reason: string };

/** Whether the peer has read everything costs a question to the kernel: not at each look, and not before this time. */
const FIRST_UNREAD_LOOK_MS = 300;
const UNREAD_LOOK_MS = 100;

/** In one look: of an answer without end the rest is read in the next one. */
const READS_MAX = 16;

export class Exchange implements Disposable {
  #probe: Probe | undefined;
  #unsent: Uint8Array;
  #readSince: number | undefined;
  #headSince: number | undefined;
  #nextUnreadLook: number;
  readonly #reader = new ResponseReader();

  constructor(
    private readonly listener: Listener,
    request: Uint8Array,
    readonly startedAt: number,
  ) {
    this.#unsent = request;
    this.#nextUnreadLook = startedAt + FIRST_UNREAD_LOOK_MS;
  }

  look(now: number): Progress {
    try {
      this.#probe ??= this.listener.connect();
      if (!this.#probe.connected()) return { kind: "unread" };
      return this.#exchange(this.#probe) ?? this.#waiting(this.#probe, now);
    } catch (error) {
      if (error instanceof HupwatchError) return { kind: "refused", reason: error.message };
      if (!(error instanceof SystemError)) throw error;
      // With bytes still unread at its close the kernel sends a reset: a hang-up, too.
      if (error.syscall === "recv" && error.errno === "ECONNRESET") return this.#closed();
      return { kind: "refused", reason: error.message };
    }
  }

  #exchange(probe: Probe): Progress | undefined {
    if (this.#unsent.length > 0) this.#unsent = this.#unsent.subarray(probe.write(this.#unsent));
    for (let i = 0; i < READS_MAX; i++) {
      const got = probe.read();
      if (got === undefined) break;
      if (got === "eof") return this.#closed();
      const state = this.#reader.push(got);
      if (state === "done") return { kind: "answered", status: this.#reader.status };
      if (state === "bad") return { kind: "foreign", problem: this.#reader.problem ?? "" };
    }
    return undefined;
  }

  #closed(): Progress {
    const end = this.#reader.end();
    if (end === "done") return { kind: "answered", status: this.#reader.status };
    return {
      kind: "closed",
      within: end === "before-byte" ? "nothing" : end === "head" ? "the head" : "the body",
    };
  }

  #waiting(probe: Probe, now: number): Progress {
    if (this.#reader.state === "body") {
      this.#headSince ??= now;
      return { kind: "head", status: this.#reader.status, forMs: now - this.#headSince };
    }
    if (now >= this.#nextUnreadLook && this.#readSince === undefined && this.#unsent.length === 0) {
      this.#nextUnreadLook = now + UNREAD_LOOK_MS;
      if (probe.isRead()) this.#readSince = now;
    }
    if (this.#readSince === undefined) return { kind: "unread" };
    return { kind: "silent", forMs: now - this.#readSince };
  }

  [Symbol.dispose](): void {
    this.#probe?.[Symbol.dispose]();
  }
}
