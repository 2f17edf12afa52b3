/**
 * Every way we know in which a request is lost or its answer is wrong, each with the name the load generator must give
 * it. The table is what "the tester is tested" means: all of them found, each under its own name, nothing else.
 * Those that a listener commits, before a request is read, are in listeners.ts.
 */
import type { FailureClass, Phase } from "../../src/load/outcome.ts";
import type { Kind } from "../../src/load/plan.ts";
import { type Ask, answer, contractBody, type Fault, type Transport } from "./server.ts";

export interface FaultCase {
  fault: Fault;
  class: FailureClass;
  phase: Phase;
  /** Undefined: no error is reported, the stream just ends. */
  errno?: string;
  kinds: Kind[];
  transports: Transport[];
  /** The plan's time limit, for faults that are silence. */
  timeoutMs?: number;
}

const BOTH: Transport[] = ["unix", "tcp"];
const PLAIN: Kind[] = ["fresh", "keepalive", "post"];

const say = (text: (ask: Ask) => string) => (ask: Ask) => void ask.socket.write(text(ask));
const sayAndClose = (text: (ask: Ask) => string) => (ask: Ask) => void ask.socket.end(text(ask));
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

/** A reset, not a close. A Unix socket has none of its own; see listeners.ts for how it comes to one. */
const reset = ({ socket }: Ask) => socket.terminate();

/** The kernel may drop what it has not delivered when a reset comes, so the part is given the time to arrive. */
const sayAndReset = (text: string) => (ask: Ask) => {
  ask.socket.write(text);
  setTimeout(() => reset(ask), 20);
};

export const FAULTS: Record<string, FaultCase> = {
  "FIN, no answer": {
    fault: ({ socket }) => void socket.end(),
    ...{ class: "fin-before-byte", phase: "before-byte", kinds: PLAIN, transports: BOTH },
  },
  "RST, no answer": {
    fault: reset,
    ...{ class: "reset-before-byte", phase: "before-byte", errno: "ECONNRESET" },
    ...{ kinds: PLAIN, transports: ["tcp"] },
  },
  "half a status line": {
    fault: sayAndClose(() => "HTTP/1.1 2"),
    ...{ class: "cut-head", phase: "head", kinds: PLAIN, transports: BOTH },
  },
  "half the fields": {
    fault: sayAndClose(({ good }) => good.slice(0, good.indexOf("Content-Length"))),
    ...{ class: "cut-head", phase: "head", kinds: PLAIN, transports: BOTH },
  },
  "half the fields, RST": {
    fault: sayAndReset("HTTP/1.1 200 OK\r\nContent-"),
    ...{ class: "cut-head", phase: "head", errno: "ECONNRESET", kinds: PLAIN, transports: ["tcp"] },
  },
  "100 Continue, then FIN": {
    fault: sayAndClose(() => "HTTP/1.1 100 Continue\r\n\r\n"),
    ...{ class: "cut-head", phase: "head", kinds: PLAIN, transports: BOTH },
  },
  "head, no body": {
    fault: sayAndClose(({ good }) => good.slice(0, good.indexOf("\r\n\r\n") + 4)),
    ...{ class: "cut-body", phase: "body", kinds: PLAIN, transports: BOTH },
  },
  "truncated Content-Length": {
    fault: sayAndClose(({ good }) => good.slice(0, -1)),
    ...{ class: "cut-body", phase: "body", kinds: PLAIN, transports: BOTH },
  },
  "truncated chunked": {
    fault: sayAndClose(() => chunked),
    ...{ class: "cut-body", phase: "body", kinds: PLAIN, transports: BOTH },
  },
  "chunked, last CRLF missing": {
    fault: sayAndClose(() => `${chunked}0\r\n`),
    ...{ class: "cut-body", phase: "body", kinds: PLAIN, transports: BOTH },
  },
  "RST in a Content-Length body": {
    fault: sayAndReset("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
    ...{ class: "cut-body", phase: "body", errno: "ECONNRESET", kinds: PLAIN, transports: ["tcp"] },
  },
  "RST in a close-delimited body": {
    fault: sayAndReset("HTTP/1.1 200 OK\r\n\r\nhello"),
    ...{ class: "cut-body", phase: "body", errno: "ECONNRESET", kinds: PLAIN, transports: ["tcp"] },
  },
  "503": {
    fault: say(({ request: { id } }) => answer("busy\n", { id, status: "503 Service Unavailable" })),
    ...{ class: "bad-status", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  "502 of a proxy": {
    fault: say(({ request: { id } }) => answer("lost\n", { id, status: "502 Bad Gateway" })),
    ...{ class: "bad-gateway", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  "stale version": {
    fault: say(({ good }) => good.replace("X-Version: 1", "X-Version: 0")),
    ...{ class: "stale-version", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  "another request's id": {
    fault: say(({ request, good }) => good.replaceAll(request.id, `${request.id.slice(0, -1)}x`)),
    ...{ class: "wrong-body", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  "another body's checksum": {
    fault: say(({ request }) => answer(contractBody(request, { sha256: "0".repeat(64) }), request)),
    ...{ class: "wrong-body", phase: "answer", kinds: ["post", "upload"], transports: BOTH },
  },
  "part of the body received": {
    fault: say(({ request }) => answer(contractBody(request, { bytes: 1 }), request)),
    ...{ class: "wrong-body", phase: "answer", kinds: ["post", "upload"], transports: BOTH },
  },
  "the answer twice": {
    fault: say(({ good }) => good + good),
    ...{ class: "surplus-bytes", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  "two Content-Lengths": {
    fault: say(({ good }) => good.replace("\r\n", "\r\nContent-Length: 3\r\n")),
    ...{ class: "malformed", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  "not HTTP": {
    fault: say(() => "SSH-2.0-OpenSSH_9.2\r\n"),
    ...{ class: "malformed", phase: "answer", kinds: PLAIN, transports: BOTH },
  },
  silence: {
    fault: () => {},
    ...{ class: "timeout", phase: "before-byte", kinds: PLAIN, transports: BOTH, timeoutMs: 250 },
  },
  "silence in the body": {
    fault: say(({ good }) => good.slice(0, -1)),
    ...{ class: "timeout", phase: "body", kinds: PLAIN, transports: BOTH, timeoutMs: 250 },
  },
};
