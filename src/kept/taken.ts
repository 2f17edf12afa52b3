/**
 * A connection that a generation which is about to stop still has, and of which hupwatch has a duplicate. It is judged here: whether its
 * server has left it between two messages, so that another one may have the next.
 *
 * TCP tells how many bytes its server has read and sent. It is held for a moment (SO_RCVLOWAT): its server is not woken by what comes, so
 * that a busy connection stands still, too, and can be looked at. Unix sockets have neither: there the server's word counts, which closes
 * what is idle and finishes what is not.
 */
import { close, isNonblocking, peek } from "../os/libc.ts";
import { HELD_MARK, lowWater, setLowWater, tcpState, unreadBytes, withoutNewData } from "../os/libc-kept.ts";
import { beginning } from "./framing.ts";

/** More than half of any receive buffer. */
const NEVER = 0x7fffffff;
/** An answer is over when so long nothing more was sent: it is told from one whose server closes right behind it. */
const QUIET_MS = 20;
/** Longer than most requests take. */
const TIE_QUIET_MS = 200;
/** Most request lines are shorter. */
const PEEKED = new Uint8Array(2048);
/** "HTTP/1.1 100 Continue" and an empty line: an answer that asks for a body. */
const CONTINUE_BYTES = 25;

interface Mark {
  /** By its server. */
  read: number;
  unread: number;
  sent: number;
  /** What it did last was to send, and everything that had come was read. */
  isAnswered: boolean;
  /** Its client may not have room for the rest of an answer. */
  isAllSent: boolean;
  /**
   * It received and sent in one tick of the kernel's clock: which of the two was last is not known. A request that came behind an answer
   * has acknowledged it; so an acknowledgement that came later, by itself, is that of an answer behind the request.
   */
  isTie: boolean;
}

export type Verdict = "fresh" | "between" | "doubtful";

export class Taken {
  readonly isTcp: boolean;
  #mark: Mark | undefined;
  #heldFrom: number | undefined;
  #isProven = false;

  constructor(
    readonly inode: number,
    readonly fd: number,
    /** A process that has it. */
    readonly pid: number,
    readonly path: string | undefined,
  ) {
    this.isTcp = tcpState(fd) !== undefined;
    this.#mark = this.#look();
  }

  #look(): Mark | undefined {
    const unread = unreadBytes(this.fd);
    const state = tcpState(this.fd);
    if (!state) return undefined;
    const { bytesReceived, bytesSent, bytesNotSent, sentAgoMs, receivedAgoMs, ackAgoMs } = state;
    const isAllSent = bytesNotSent === 0;
    const isAnswered = unread === 0 && bytesSent > 0 && sentAgoMs <= receivedAgoMs;
    const isTie = sentAgoMs === receivedAgoMs && ackAgoMs >= receivedAgoMs;
    return { read: bytesReceived - unread, unread, sent: bytesSent, isAnswered, isAllSent, isTie };
  }

  /**
   * Its server is not woken any more by what comes; not where something has come already, which is its own.
   *
   * A read(2) that waits in the kernel itself waits for as many bytes as the mark says, keeps what it has until then, and does not hear
   * of a lower mark. So the mark is set only where none can begin: the server does not wait so, and there is nothing that it was woken
   * for. gunicorn's gthread is told by poll(2) of a request, and only then reads it in a thread, waiting: what came just before the
   * mark was set was read by it and never answered.
   */
  hold(): void {
    if (!this.isTcp || this.#heldFrom !== undefined) return;
    // One that blocks is not held, and so loses nothing for a moment either.
    const isDone =
      isNonblocking(this.fd) &&
      withoutNewData(this.fd, () => {
        this.#mark = this.#look();
        if (this.#mark?.unread !== 0 || !isNonblocking(this.fd)) return;
        this.#heldFrom = lowWater(this.fd);
        setLowWater(this.fd, NEVER);
      });
    if (!isDone) this.#mark = this.#look();
  }

  /** It is, also by what has come meanwhile. */
  letGo(): void {
    if (this.#heldFrom === undefined) return;
    setLowWater(this.fd, this.#heldFrom >= HELD_MARK ? 1 : Math.max(1, this.#heldFrom));
    this.#heldFrom = undefined;
  }

  get isHeld(): boolean {
    return this.#heldFrom !== undefined;
  }

  /** It is proven, and its server does not hear of what comes: it stays so. */
  get isSettled(): boolean {
    return this.#isProven && this.isHeld;
  }

  /** What comes waits for its server, or for another one. */
  get hasUnread(): boolean {
    return unreadBytes(this.fd) > 0;
  }

  /**
   * By what its client has sent, which was answered before, and its server has not read: a request line of HTTP/1 would not be there with
   * TLS, and what is not one may be the rest of a body, unless the server was done. Undefined: that is not known.
   */
  get speech(): "http" | "other" | "upgraded" | undefined {
    if (!this.hasUnread || !this.#look()?.sent) return undefined;
    const what = beginning(PEEKED.subarray(0, peek(this.fd, PEEKED)));
    if (what === "request") return "http";
    if (what !== "other" || this.verdict !== "between") return undefined;
    // A WebSocket began as HTTP/1, beside others. Its client masks each frame (RFC 6455, 5.3); no frame of HTTP/2 is so long, and no TLS has that bit.
    return ((PEEKED[1] ?? 0) & 0x80) === 0 ? "other" : "upgraded";
  }

  /** Whether it stands between two messages, while its server still has it. */
  prove(mayHold = true): boolean {
    const mark = this.#mark;
    const now = this.#look();
    if (!mark || !now) return false;
    if (this.#isProven && now.read === mark.read && now.sent === mark.sent) return true;
    this.#isProven = false;
    if (mark.unread > 0 || now.read !== mark.read) {
      // It was about to be read: once more.
      this.letGo();
      if (mayHold) this.hold();
      else this.#mark = now;
      return false;
    }
    const hasSent = now.sent > mark.sent;
    const isContinue = now.sent - (hasSent ? mark.sent : 0) === CONTINUE_BYTES;
    // A client that sends again has had its answer.
    const isSure = hasSent || !mark.isTie || !now.isTie || now.unread > 0;
    const isQuiet = (tcpState(this.fd)?.sentAgoMs ?? 0) >= (isSure ? QUIET_MS : TIE_QUIET_MS);
    const isFresh = now.read === 0 && now.sent === 0;
    const isOver = (hasSent || mark.isAnswered) && now.isAllSent;
    this.#isProven = isFresh || (isOver && isQuiet && !isContinue);
    if (this.#isProven) this.#mark = now;
    return this.#isProven;
  }

  /** When its server has it no more. */
  get verdict(): Verdict {
    if (!this.isTcp) return "between";
    const now = this.#look();
    if (!now) return "doubtful";
    if (now.read === 0 && now.sent === 0) return "fresh";
    const isUnchanged =
      this.#isProven && now.read === this.#mark?.read && now.sent === this.#mark.sent && now.isAllSent;
    return isUnchanged ? "between" : "doubtful";
  }

  /** What its server did last was to send, and nothing is unread: whether the answer was whole is not known. */
  get isAnswered(): boolean {
    return this.#look()?.isAnswered === true;
  }

  /** As the server's own close(2) would have it now. */
  close(): void {
    close(this.fd);
  }
}
