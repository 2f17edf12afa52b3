/**
 * The checks that send an HTTP request to the generation's first listener. Before the server accepts, the request simply
 * waits in the new listener's queue.
 *
 * `http` and `http:/path` are requested by the user: a complete answer below 500, or 2xx and 3xx of that path. Otherwise it is
 * `anyAnswer`, which only checks whether this generation accepts and reads, in any protocol and however slow its front page is, so
 * it never ends a healthy server. A status of 500 or more fails there, too: a release that is broken like this must not replace one
 * that works.
 */
import { pollPatiently } from "../os/clock.ts";
import type { Listener } from "../sockets/held.ts";
import type { Check, CheckContext } from "./check.ts";
import { Exchange, type Progress } from "./exchange.ts";

const POLL_MS = 5;
/** An accepted request may be in a worker that hangs: after this time another one is sent beside it, the next after twice the time. */
const ANOTHER_AFTER_MS = 5000;
/** Requests that wait at a time. */
const MAX_REQUESTS = 4;
/** After a refusal: soon enough not to be noticed. */
const REFUSED_PAUSE_MS = 50;
/** The pause after a bad answer, doubled each time: a page that mails its errors must not be requested a thousand times. */
const ANSWERED_PAUSE_MS = 50;
const MAX_ANSWERED_PAUSE_MS = 2000;
/** A server that has read a request and is silent for this long serves a slow page. */
const SILENCE_MS = 2000;
/** The rest of an answer that has an end comes within so long. A server that cannot write it, since the probe is gone, logs an error. */
const BODY_MS = 250;

export interface Obstacle {
  what: string;
  /** The way out. */
  hint?: string;
}

const CONNECT = "--ready connect needs no answer";
const HEALTH = "--ready http:/health requests a page of your choice, --ready http://HOST/ another Host";

type Verdict = "passed" | "wait" | Obstacle;

/** `target`: undefined, `/path` or `//host/path`, as it stands behind `http:`. */
export function httpCheck(target?: string): Check {
  const [, host = "localhost", path = "/"] = /^(?:\/\/([^/]*))?(\/.*)?$/s.exec(target ?? "/") ?? [];
  const isGood = target === undefined ? isAlive : isSuccess;
  return requesting(target === undefined ? "http" : `http:${target}`, { host, path }, (progress) =>
    progress.kind === "answered" && isGood(progress.status) ? "passed" : obstacleOf(progress),
  );
}

export const anyAnswer = (): Check =>
  requesting("http", { host: "localhost", path: "/" }, (progress) => {
    switch (progress.kind) {
      case "foreign":
        return "passed";
      case "closed":
        return "passed";
      case "head":
        if (!isAlive(progress.status)) return obstacleOf(progress);
        return progress.forMs >= BODY_MS ? "passed" : "wait";
      case "answered":
        return isAlive(progress.status) ? "passed" : obstacleOf(progress);
      case "silent":
        return progress.forMs >= SILENCE_MS ? "passed" : "wait";
      default:
        return obstacleOf(progress);
    }
  });

const isAlive = (status: number) => status < 500;
const isSuccess = (status: number) => status >= 200 && status < 400;

function obstacleOf(progress: Progress): Verdict {
  switch (progress.kind) {
    case "unread":
      return { what: "it has not answered" };
    case "silent":
      return { what: "it has read a request and not answered", hint: CONNECT };
    case "head":
      return { what: `it answered ${progress.status}, but its answer does not end`, hint: CONNECT };
    case "answered":
      return { what: `it answered ${progress.status}`, hint: `${HEALTH}; ${CONNECT}` };
    case "closed":
      return progress.within === "nothing"
        ? { what: "it closed the connection without an answer", hint: CONNECT }
        : { what: `it closed the connection within ${progress.within} of its answer`, hint: CONNECT };
    case "foreign":
      return { what: `its answer is not HTTP: ${progress.problem}`, hint: CONNECT };
    case "refused":
      return { what: progress.reason };
  }
}

interface Target {
  host: string;
  path: string;
}

function requesting(label: string, target: Target, judge: (progress: Progress) => Verdict): Check {
  return {
    label,
    needs: ["socket"],
    start({ clock, listeners, note, answered }, passed) {
      const [listener] = listeners;
      if (!listener) throw new RangeError("an http check needs a listener");
      const asking = new Asking(listener, bytesOf(target), judge, note, answered);
      const polling = pollPatiently(clock, POLL_MS, () => {
        if (!asking.look(clock.now())) return "more";
        passed();
        return "enough";
      });
      return {
        [Symbol.dispose]: () => {
          polling[Symbol.dispose]();
          asking[Symbol.dispose]();
        },
      };
    },
  };
}

/** The requests that are under way, and when the next may follow. */
class Asking implements Disposable {
  readonly #exchanges = new Set<Exchange>();
  #nextAt = 0;
  #beside = ANOTHER_AFTER_MS;
  #pause = ANSWERED_PAUSE_MS;
  /** An earlier answer says more than the silence of a later request. */
  #hasAnswered = false;

  constructor(
    private readonly listener: Listener,
    private readonly request: Uint8Array,
    private readonly judge: (progress: Progress) => Verdict,
    private readonly note: CheckContext["note"],
    private readonly answered: CheckContext["answered"],
  ) {}

  /** True where it has passed. */
  look(now: number): boolean {
    if (now >= this.#nextAt && this.#exchanges.size < MAX_REQUESTS) {
      this.#exchanges.add(new Exchange(this.listener, this.request, now));
      this.#nextAt = now + this.#beside;
      this.#beside *= 2;
    }
    return [...this.#exchanges].some((exchange) => this.#isGood(exchange, now));
  }

  #isGood(exchange: Exchange, now: number): boolean {
    const progress = exchange.look(now);
    if (progress.kind === "answered") this.answered();
    const verdict = this.judge(progress);
    if (verdict === "passed") return true;
    const isUnderWay = progress.kind === "unread" || progress.kind === "silent" || progress.kind === "head";
    if (verdict !== "wait" && !(isUnderWay && this.#hasAnswered)) this.note(verdict.what, verdict.hint);
    if (!isUnderWay) this.#end(exchange, progress, now);
    return false;
  }

  #end(exchange: Exchange, { kind }: Progress, now: number): void {
    exchange[Symbol.dispose]();
    this.#exchanges.delete(exchange);
    if (kind === "refused") {
      this.#nextAt = now + REFUSED_PAUSE_MS;
      return;
    }
    this.#hasAnswered = true;
    this.#nextAt = now + this.#pause;
    this.#pause = Math.min(2 * this.#pause, MAX_ANSWERED_PAUSE_MS);
  }

  [Symbol.dispose](): void {
    for (const exchange of this.#exchanges) exchange[Symbol.dispose]();
  }
}

const bytesOf = ({ host, path }: Target) =>
  new TextEncoder().encode(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: hupwatch-ready\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
  );
