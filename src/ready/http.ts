/**
 * `http`: the generation answers HTTP on its first listener. Any complete response below 500 will do; with a path, only
 * 2xx and 3xx. One connection at a time: before the server accepts, it simply waits in the new listener's queue.
 */
import { ResponseReader } from "../http/response.ts";
import { poll } from "../os/clock.ts";
import { SystemError } from "../os/libc.ts";
import type { Listener } from "../sockets/held.ts";
import type { Probe } from "../sockets/probe.ts";
import type { Check } from "./check.ts";

const POLL_MS = 5;
/** An answer that has not come by then is asked for again on a new connection. */
const ATTEMPT_MS = 5000;
/** After a refusal or a bad answer: soon enough not to be noticed, rare enough not to fill the access log. */
const PAUSE_MS = 50;
/** In one look: of an answer without end the rest is read in the next one, until its time is up. */
const READS_MAX = 16;

export const httpCheck = (path?: string): Check => ({
  label: path === undefined ? "http" : `http:${path}`,
  needs: ["socket"],
  start({ clock, listeners, note }, passed) {
    const listener = listeners[0];
    if (!listener) throw new RangeError("an http check needs a listener");
    const goodStatus = path === undefined ? isAlive : isGood;
    let attempt: Attempt | undefined;
    let notBefore = 0;
    // What it has answered once tells more than the silence of a later attempt that time has run out on.
    let hasAnswered = false;
    const polling = poll(clock, POLL_MS, () => {
      if (clock.now() < notBefore) return "more";
      attempt ??= new Attempt(listener, requestFor(path ?? "/"), clock.now() + ATTEMPT_MS);
      const outcome = attempt.advance(clock.now());
      if (outcome === "pending") {
        if (attempt.isUnanswered && !hasAnswered) note("it has not answered");
        return "more";
      }
      hasAnswered ||= !attempt.isUnanswered;
      attempt[Symbol.dispose]();
      attempt = undefined;
      if (typeof outcome === "number" && goodStatus(outcome)) {
        passed();
        return "enough";
      }
      note(typeof outcome === "number" ? `it answered ${outcome}` : outcome.obstacle);
      notBefore = clock.now() + PAUSE_MS;
      return "more";
    });
    return {
      [Symbol.dispose]: () => {
        polling[Symbol.dispose]();
        attempt?.[Symbol.dispose]();
      },
    };
  },
});

const isAlive = (status: number) => status < 500;
const isGood = (status: number) => status >= 200 && status < 400;

const requestFor = (path: string) =>
  new TextEncoder().encode(
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hupwatch-ready\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
  );

/** One connection, one request, one answer: its status, or what went wrong. */
class Attempt implements Disposable {
  #probe: Probe | undefined;
  #unsent: Uint8Array;
  readonly #reader = new ResponseReader();

  constructor(
    private readonly listener: Listener,
    request: Uint8Array,
    private readonly deadline: number,
  ) {
    this.#unsent = request;
  }

  /** Not one byte has come. */
  get isUnanswered(): boolean {
    return this.#reader.state === "idle";
  }

  advance(now: number): "pending" | number | { obstacle: string } {
    try {
      this.#probe ??= this.listener.connect();
      if (this.#probe.connected()) {
        const status = this.#exchange(this.#probe);
        if (status !== undefined) return status;
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return { obstacle: error.message };
    }
    return now > this.deadline ? { obstacle: "it did not answer" } : "pending";
  }

  #exchange(probe: Probe): number | { obstacle: string } | undefined {
    if (this.#unsent.length > 0) this.#unsent = this.#unsent.subarray(probe.write(this.#unsent));
    for (let i = 0; i < READS_MAX; i++) {
      const got = probe.read();
      if (got === undefined) break;
      if (got === "eof") {
        const end = this.#reader.end();
        return end === "done"
          ? this.#reader.status
          : { obstacle: `it closed the connection (${end} cut off)` };
      }
      const state = this.#reader.push(got);
      if (state === "done") return this.#reader.status;
      if (state === "bad") return { obstacle: `its answer is no HTTP: ${this.#reader.problem}` };
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#probe?.[Symbol.dispose]();
  }
}
