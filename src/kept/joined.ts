/**
 * One kept connection in the relay: its client, and the connection to a server that stands for it. Bytes are passed on unchanged and in
 * order, no more is read from one side than the other takes, and an end of one side is passed on as such.
 *
 *     waiting ──a request line──▶ connecting ──▶ joined ──between messages, at a move──▶ waiting
 *
 * Nothing is ever sent twice: what was passed to a server is that server's, whatever becomes of it.
 */

import type { LetGo } from "../os/keeping.ts";
import { close, isWritable, recv, SystemError, send, shutdownWrite, socketError } from "../os/libc.ts";
import { EVENT, resetAtClose } from "../os/libc-kept.ts";
import { beginConnect, connectAgain } from "./back-end.ts";
import { beginning, Exchange } from "./framing.ts";
import type { Left } from "./protocol.ts";

/** What the relay does for its connections. */
export interface Host {
  /** 0: it is not waited for. */
  watch(fd: number, events: number): void;
  /** Its owner is called at that time, in milliseconds of `now`, or never. */
  wakeAt(joined: Joined, atMs: number | undefined): void;
  now(): number;
  began(joined: Joined, server: number): void;
  left(server: number): void;
  /** `why`: undefined where both sides have ended as they wanted. */
  over(joined: Joined, why: LetGo | undefined): void;
  counted(what: "joined" | "moved"): void;
}

/** Most requests and answers in one piece; for all connections, since one is read at a time. */
const BUFFER = new Uint8Array(64 * 1024);
const NOTHING = new Uint8Array();
/** Of a head, before it is known to be one. */
const HELD_BYTES_MAX = 64 * 1024;
const CONNECT_AGAIN_MS = 5;
const CONNECT_MS = 10_000;
/** As long as clients keep a connection that they do not use: nginx 60 s, most others less. */
export const IDLE_MS = 75_000;
/** A client that goes on sending after its last answer has so long to read that answer: an end with unread bytes would take it away (RFC 9112, 9.6). */
const LINGER_MS = 1000;
/** Those of which the time is up are found by a look at all: ten times a second at most. */
const DEADLINE_STEP_MS = 100;

const deadlineIn = (ms: number, host: Host): number =>
  Math.ceil((host.now() + ms) / DEADLINE_STEP_MS) * DEADLINE_STEP_MS;

/** What the other end has broken meanwhile (ENOTCONN) is told by the next read. */
function endWriting(fd: number): void {
  try {
    shutdownWrite(fd);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

export class Joined {
  #server: number | undefined;
  #isConnected = false;
  /** With the server that it has; what is idle has none. */
  #exchange: Exchange | undefined;
  #toServer: Uint8Array = NOTHING;
  /** Behind the request that an old server has: it is for the next one. */
  #toNext: Uint8Array = NOTHING;
  #toClient: Uint8Array = NOTHING;
  /** Neither side has sent a byte: it may speak anything. */
  #isFresh: boolean;
  #wasJoined = false;
  #isInProgress = false;
  #hasClientEnded = false;
  #isEndPassed = false;
  #hasServerEnded = false;
  /** It reads no more; what it has sent before is still the client's. */
  #isServerDeaf = false;
  #isMoving = false;
  /** Its server has ended; what it sends is for nobody. */
  #isLingering = false;
  #isOver = false;
  #deadlineMs: number | undefined;

  constructor(
    readonly client: number,
    private readonly left: Left,
    private readonly host: Host,
  ) {
    this.#deadlineMs = deadlineIn(left.patienceMs, host);
    this.#isFresh = left.isFresh;
    if (left.isFresh) this.#connect();
    else this.#settle();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** A generation was replaced: the next request goes to its successor. */
  move(): void {
    // One that is being connected may get the server that is replaced.
    if (!this.#isConnected && !this.#isInProgress) return;
    this.#isMoving = true;
    this.#settle();
  }

  /** It is idle, and no server will come: the service has ended. */
  end(): void {
    if (this.#server === undefined) this.#close("silent");
  }

  on(fd: number, events: number): void {
    if (this.#isOver) return;
    try {
      if (fd === this.client) this.#onClient(events);
      else this.#onServer(events);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (fd === this.client || !(this.#isLeaving || this.#isServerDeaf)) this.#abort();
      this.#hasServerEnded = true;
    }
    this.#settle();
  }

  onTime(): void {
    if (this.#isOver) return;
    const isLate = this.#deadlineMs !== undefined && this.host.now() >= this.#deadlineMs;
    if (this.#server !== undefined && !this.#isConnected) {
      if (isLate) this.#close("unreachable");
      else this.#tryAgain();
    } else if (isLate) this.#close(this.#isLingering ? undefined : "silent");
    this.#settle();
  }

  #onClient(events: number): void {
    if (events & EVENT.out) this.#flushToClient();
    if (!this.#readsClient || (events & (EVENT.in | EVENT.hangup | EVENT.error)) === 0) return;
    const n = recv(this.client, BUFFER);
    if (n === undefined) return;
    if (n === 0) this.#hasClientEnded = true;
    else if (!this.#isLingering && !this.#isServerDeaf) this.#pass(BUFFER.subarray(0, n));
  }

  /** From the client. */
  #pass(bytes: Uint8Array): void {
    if (this.#isConnected) {
      this.#send(bytes);
      return;
    }
    this.#toServer = Buffer.concat([this.#toServer, bytes]);
    if (this.#server === undefined) this.#begin();
  }

  /** By what its client has said. */
  #begin(): void {
    const what = beginning(this.#toServer);
    if (what === "request") this.#connect();
    else if (what === "other") this.#close("not-http");
  }

  #onServer(events: number): void {
    const server = this.#server;
    if (server === undefined) return;
    if (!this.#isConnected) {
      this.#finishConnect(server);
      return;
    }
    if (events & EVENT.out && this.#toServer.length > 0)
      this.#toServer = this.#writeToServer(server, this.#toServer);
    if (this.#toClient.length > 0 || (events & (EVENT.in | EVENT.hangup | EVENT.error)) === 0) return;
    const n = recv(server, BUFFER);
    if (n === undefined) return;
    if (n === 0) {
      this.#hasServerEnded = true;
      return;
    }
    const bytes = BUFFER.subarray(0, n);
    this.#isFresh = false;
    this.#exchange?.answered(bytes);
    this.#toClient = this.#write(this.client, bytes);
  }

  #flushToClient(): void {
    if (this.#toClient.length > 0) this.#toClient = this.#write(this.client, this.#toClient);
  }

  #send(bytes: Uint8Array): void {
    if (this.#server === undefined) return;
    this.#isFresh = false;
    let end = bytes.length;
    if (this.#isMoving) end = this.#exchange?.sentToEnd(bytes) ?? end;
    else this.#exchange?.sent(bytes);
    this.#toNext = end === bytes.length ? NOTHING : bytes.slice(end);
    this.#toServer = this.#writeToServer(this.#server, bytes.subarray(0, end));
  }

  /** A server that has closed the connection may have answered before: its answer is read before anything else ends. */
  #writeToServer(server: number, bytes: Uint8Array): Uint8Array {
    try {
      return this.#write(server, bytes);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#isServerDeaf = true;
      return NOTHING;
    }
  }

  /** Returns what it did not take, in memory of its own. */
  #write(fd: number, bytes: Uint8Array): Uint8Array {
    const n = send(fd, bytes);
    return n === bytes.length ? NOTHING : bytes.slice(n);
  }

  get #readsClient(): boolean {
    if (this.#hasClientEnded) return false;
    if (this.#isLingering || this.#isServerDeaf) return true;
    if (this.#isConnected) {
      const isFlushed = this.#toServer.length === 0 && this.#toNext.length === 0;
      return isFlushed && !(this.#isMoving && this.#exchange?.mayPause);
    }
    return this.#toServer.length < HELD_BYTES_MAX;
  }

  /** What follows from all that has happened: whether it is moved, over, and what is waited for. */
  #settle(): void {
    if (this.#isOver) return;
    if (this.#isLeaving) this.#leaveServer();
    else if (this.#hasServerEnded && this.#toClient.length === 0) this.#linger();
    if (this.#isOver) return;
    if (this.#hasClientEnded && this.#server === undefined)
      this.#close(this.#isLingering ? undefined : "left");
    if (this.#isOver) return;
    if (this.#toNext.length > 0 && this.#exchange?.isStuck) this.#sendNext();
    if (this.#hasClientEnded && this.#isConnected) this.#passEnd();
    this.#wait();
  }

  /** An idle connection that an old server closes is what a move is about, too. */
  get #isLeaving(): boolean {
    const isFlushed = this.#toClient.length === 0 && this.#toServer.length === 0;
    return this.#isMoving && isFlushed && this.#exchange?.isBetween === true;
  }

  /** The end of its server is passed on, and what it sends meanwhile is read and dropped, until it ends, too. */
  #linger(): void {
    if (this.#server === undefined) return;
    this.#closeServer(this.#server);
    this.#server = this.#exchange = undefined;
    this.#isConnected = this.#isMoving = this.#hasServerEnded = this.#isServerDeaf = false;
    this.#toServer = this.#toNext = NOTHING;
    this.#isLingering = true;
    this.#deadlineMs = deadlineIn(LINGER_MS, this.host);
    endWriting(this.client);
  }

  /** There will be no other server. */
  #sendNext(): void {
    if (this.#toServer.length > 0) return;
    const bytes = this.#toNext;
    this.#toNext = NOTHING;
    this.#send(bytes);
  }

  #passEnd(): void {
    if (this.#isEndPassed || this.#server === undefined) return;
    if (this.#toServer.length > 0 || this.#toNext.length > 0) return;
    this.#isEndPassed = true;
    endWriting(this.#server);
  }

  #wait(): void {
    const { host } = this;
    const toClient = this.#toClient.length > 0 ? EVENT.out : 0;
    host.watch(this.client, (this.#readsClient ? EVENT.in : 0) | toClient);
    if (this.#server !== undefined) {
      if (this.#isConnected) {
        const reads = this.#toClient.length === 0 && !this.#hasServerEnded ? EVENT.in : 0;
        host.watch(this.#server, reads | (this.#toServer.length > 0 ? EVENT.out : 0));
      } else host.watch(this.#server, this.#isInProgress ? EVENT.out : 0);
    }
    const isTrying = this.#server !== undefined && !this.#isConnected && !this.#isInProgress;
    host.wakeAt(this, isTrying ? host.now() + CONNECT_AGAIN_MS : this.#deadlineMs);
  }

  #connect(): void {
    this.#deadlineMs = deadlineIn(CONNECT_MS, this.host);
    const begun = beginConnect(this.client, this.left);
    if ("why" in begun) {
      this.#close(begun.why);
      return;
    }
    this.#server = begun.fd;
    this.#isConnected = false;
    this.host.began(this, begun.fd);
    this.#took(begun.state);
    this.#settle();
  }

  #tryAgain(): void {
    if (this.#server === undefined || this.#isInProgress) return;
    const state = connectAgain(this.#server, this.client, this.left);
    if (state === "failed") this.#close("unreachable");
    else this.#took(state);
  }

  #took(state: "connected" | "in-progress" | "full"): void {
    this.#isInProgress = state === "in-progress";
    if (state === "connected") this.#join();
  }

  #finishConnect(server: number): void {
    if (!this.#isInProgress || !isWritable(server)) return;
    if (socketError(server) === undefined) this.#join();
    else this.#close("unreachable");
  }

  #join(): void {
    this.host.counted(this.#wasJoined ? "moved" : "joined");
    this.#wasJoined = true;
    this.#isConnected = true;
    this.#isInProgress = false;
    this.#exchange = new Exchange();
    this.#deadlineMs = undefined;
    if (this.#toServer.length > 0) this.#send(this.#toServer);
  }

  /** Between two messages: the next request will have another one. */
  #leaveServer(): void {
    const server = this.#server;
    if (server === undefined) return;
    this.#closeServer(server);
    this.#server = undefined;
    this.#isConnected =
      this.#isMoving =
      this.#hasServerEnded =
      this.#isEndPassed =
      this.#isServerDeaf =
        false;
    this.#exchange = undefined;
    this.#deadlineMs = deadlineIn(IDLE_MS, this.host);
    this.#toServer = this.#toNext;
    this.#toNext = NOTHING;
    if (this.#isFresh) this.#connect();
    else if (this.#toServer.length > 0) this.#begin();
  }

  /** One side is broken: so is the other. */
  #abort(): void {
    if (!this.#isOver) resetAtClose(this.client);
    this.#close(undefined);
  }

  #close(why: LetGo | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { host, client } = this;
    host.wakeAt(this, undefined);
    if (this.#server !== undefined) this.#closeServer(this.#server);
    host.watch(client, 0);
    close(client);
    host.over(this, why);
  }

  #closeServer(server: number): void {
    this.host.watch(server, 0);
    this.host.left(server);
    close(server);
  }
}
