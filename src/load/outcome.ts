/**
 * What can become of a request: an answer, or a failure of exactly one class. The names are stable; reports, exit
 * codes and `verify` use them. The meanings are those of unix(7) and tcp(7), seen from a client that never tries again.
 */
import type { Cut } from "../http/response.ts";
import { MANNERS } from "./manners.ts";
import type { Kind } from "./plan.ts";

export type FailureClass =
  /** The Unix path was not there (ENOENT): the gap between unlink and bind, or another process's unlink. */
  | "connect-missing"
  /** Something is there and no process listens (ECONNREFUSED). */
  | "connect-refused"
  /** A listener is there and its queue was full (EAGAIN, Unix only): overload, no gap in service. */
  | "connect-backlog-full"
  /** No connection within the time limit; over TCP also a full queue, whose SYNs the kernel drops. */
  | "connect-timeout"
  /** Any other errno, e.g. EACCES. */
  | "connect-failed"
  /** This machine had no descriptor or port left for us: says nothing about the server. */
  | "local-limit"
  /** Closed or reset while the client had not said anything yet, by the server's choice. */
  | "closed-before-request"
  /** Connection reset, no byte of an answer: lost in the accept queue, or closed with the request unread. */
  | "reset-before-byte"
  /** Closed in good order, no byte of an answer. On a reused connection: the keep-alive race. */
  | "fin-before-byte"
  /** The status line or fields ended in the middle, by close or reset. */
  | "cut-head"
  /** The body ended before its declared end, by close or reset. */
  | "cut-body"
  /** A stream (server-sent events, a WebSocket) ended in the middle, without a word. */
  | "stream-cut"
  /** A WebSocket that the server ended by a close frame; `closeCode` is its reason. */
  | "stream-closed"
  /** Connected, and no complete answer within the time limit; `phase` says how far it came. */
  | "timeout"
  /** The answer breaks HTTP/1.1's framing rules. */
  | "malformed"
  /** A complete answer with bytes behind it that were not requested, e.g. the answer twice. */
  | "surplus-bytes"
  /** A proxy in front found no server, or lost it (502, 504). */
  | "bad-gateway"
  /** Any other complete answer with status 400 or above. */
  | "bad-status"
  /** A complete answer to something else: another request's id, wrong byte count or checksum. */
  | "wrong-body"
  /** An older version answered a request sent after a newer one had answered; only if the plan says so. */
  | "stale-version";

/** `server`: a request that a user lost. `overload`: refused for want of room. `generator`: our own limit. */
export type Blame = "server" | "overload" | "generator";

/** Every class with what it blames and a line for people. The order is that of the tables. */
export const FAILURE_CLASSES: Record<FailureClass, { blame: Blame; meaning: string }> = {
  "connect-missing": { blame: "server", meaning: "the socket's path did not exist" },
  "connect-refused": { blame: "server", meaning: "no process was listening" },
  "connect-backlog-full": { blame: "overload", meaning: "the listener's queue was full" },
  "connect-timeout": { blame: "server", meaning: "no connection in time" },
  "connect-failed": { blame: "server", meaning: "could not connect" },
  "local-limit": { blame: "generator", meaning: "this machine had no descriptor or port left" },
  "closed-before-request": { blame: "server", meaning: "connection closed before anything was sent" },
  "reset-before-byte": { blame: "server", meaning: "connection reset before a byte of the answer" },
  "fin-before-byte": { blame: "server", meaning: "connection closed before a byte of the answer" },
  "cut-head": { blame: "server", meaning: "answer cut in its head" },
  "cut-body": { blame: "server", meaning: "answer cut in its body" },
  "stream-cut": { blame: "server", meaning: "stream cut in the middle" },
  "stream-closed": { blame: "server", meaning: "WebSocket closed by the server" },
  timeout: { blame: "server", meaning: "no complete answer in time" },
  malformed: { blame: "server", meaning: "answer breaks HTTP framing" },
  "surplus-bytes": { blame: "server", meaning: "bytes behind the answer" },
  "bad-gateway": { blame: "server", meaning: "a proxy found no server, or lost it" },
  "bad-status": { blame: "server", meaning: "status 400 or above" },
  "wrong-body": { blame: "server", meaning: "answer to something else" },
  "stale-version": { blame: "server", meaning: "older version after a newer one" },
};

/** How far the exchange had come. `silent`: connected, nothing sent. `answer`: complete, and wrong. */
export type Phase = "connect" | "silent" | Cut | "answer";

/** Why a request failed, before it is known which one it was. */
export interface Failure {
  class: FailureClass;
  phase: Phase;
  /** Symbolic, e.g. ECONNRESET; undefined where the system reported no error. */
  errno?: string | undefined;
  detail?: string | undefined;
  /** Of a WebSocket (RFC 6455, 7.4). */
  closeCode?: number | undefined;
}

/** Everything about one failed request. Times in milliseconds since the run began. */
export interface FailureRecord {
  /** The X-Request-Id it carried. */
  id: string;
  kind: Kind;
  class: FailureClass;
  phase: Phase;
  errno?: string;
  detail?: string;
  closeCode?: number;
  /** Whether its connection had carried an answer before. */
  reused: boolean;
  intendedMs: number;
  startedMs: number;
  endedMs: number;
  /** Of a TCP connection: a server's log has it as its client's. */
  localPort?: number;
  /** Bytes of the answer that came. */
  receivedBytes: number;
  status?: number;
}

const LOCAL_ERRNOS = new Set(["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS", "ENOMEM"]);

/** connect(2)'s errno, once the kernel's own word is known (see refusal.ts). */
export function connectFailure(errno: string): Failure {
  return { class: connectClass(errno), phase: "connect", errno };
}

function connectClass(errno: string): FailureClass {
  if (LOCAL_ERRNOS.has(errno)) return "local-limit";
  switch (errno) {
    case "ENOENT":
      return "connect-missing";
    case "ECONNREFUSED":
      return "connect-refused";
    case "EAGAIN":
      return "connect-backlog-full";
    case "ETIMEDOUT":
      return "connect-timeout";
    default:
      return "connect-failed";
  }
}

/** The connection ended while an answer was awaited. `errno` undefined: in good order, by FIN. */
export function cutFailure(cut: Cut, errno: string | undefined): Failure {
  switch (cut) {
    case "before-byte":
      return { class: errno ? "reset-before-byte" : "fin-before-byte", phase: cut, errno };
    case "head":
      return { class: "cut-head", phase: cut, errno };
    case "body":
      return { class: "cut-body", phase: cut, errno };
  }
}

/**
 * The keep-alive race: the server closed a kept connection just as an idempotent request went out on it. The request
 * was not executed, and an HTTP client is to send it again (RFC 9112, 9.3.1); we never do, so we can tell it apart.
 */
export const isKeepAliveRace = (f: Pick<FailureRecord, "class" | "reused" | "kind">): boolean =>
  f.reused && (f.class === "fin-before-byte" || f.class === "reset-before-byte") && !MANNERS[f.kind].posts;
