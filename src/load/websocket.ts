/**
 * The client's side of one WebSocket (RFC 6455): asks for the upgrade, sends numbered texts, expects each back, and ends by
 * a close frame. Bytes in, words out; no socket and no clock. Only what an echo needs: no fragments, no extensions.
 */
import type { Failure } from "./outcome.ts";

/** `open`: go on. `closed`: both have said goodbye, as we wanted. */
export type Talk = "opening" | "open" | "closed" | Failure;

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
/** RFC 6455, 7.4.1. */
export const NORMAL_CLOSURE = 1000;
const HEAD_MAX_BYTES = 64 * 1024;

/** Fields of the request; the key is that of the RFC's example: no proxy caches what was not requested twice. */
export const UPGRADE_FIELDS = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

export class WebSocketTalk {
  state: Talk = "opening";
  receivedBytes = 0;
  #held: Buffer = Buffer.alloc(0);
  #sent = 0;
  #echoed = 0;
  #saidGoodbye = false;

  /** Takes what came; `reply` sends what the protocol wants at once. */
  push(bytes: Uint8Array, reply: (frame: Uint8Array) => void): Talk {
    this.receivedBytes += bytes.length;
    this.#held = Buffer.concat([this.#held, bytes]);
    if (this.state === "opening") this.#readHead();
    while (this.state === "open") {
      const frame = takeFrame(this.#held);
      if (frame === undefined) break;
      if (frame === "bad") this.state = wrong("malformed", "a frame that breaks RFC 6455");
      else {
        this.#held = frame.rest;
        this.#take(frame, reply);
      }
    }
    return this.state;
  }

  /** The next text to be sent. */
  message(): Uint8Array {
    return frameOf(TEXT, Buffer.from(String(this.#sent++)));
  }

  goodbye(): Uint8Array {
    this.#saidGoodbye = true;
    return closeFrame(NORMAL_CLOSURE);
  }

  #readHead(): void {
    const end = this.#held.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.#held.length > HEAD_MAX_BYTES) this.state = wrong("malformed", "an endless head");
      return;
    }
    const head = this.#held.subarray(0, end).toString("latin1");
    this.#held = this.#held.subarray(end + 4);
    const status = /^HTTP\/1\.1 (\d{3})\b/.exec(head)?.[1];
    if (status === undefined) this.state = wrong("malformed", "the upgrade's answer is not HTTP/1.1");
    else if (status !== "101") this.state = wrong("bad-status", `status ${status}, no upgrade`);
    else this.state = "open";
  }

  #take({ opcode, payload }: Frame, reply: (frame: Uint8Array) => void): void {
    if (opcode === PING) reply(frameOf(PONG, payload));
    if (opcode === TEXT && payload.toString() !== String(this.#echoed++))
      this.state = wrong("wrong-body", `echoed '${payload.toString().slice(0, 40)}'`);
    if (opcode !== CLOSE) return;
    // RFC 6455, 7.1.5: no code is 1005.
    const closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
    if (this.#saidGoodbye) this.state = "closed";
    else {
      reply(closeFrame(closeCode === 1005 ? NORMAL_CLOSURE : closeCode));
      this.state = { class: "stream-closed", phase: "body", closeCode };
    }
  }
}

const wrong = (cls: Failure["class"], detail: string): Failure => ({ class: cls, phase: "answer", detail });

interface Frame {
  opcode: number;
  payload: Buffer;
  rest: Buffer;
}

/** Undefined: more must come. A server's frames are not masked (RFC 6455, 5.1). */
function takeFrame(bytes: Buffer): Frame | "bad" | undefined {
  if (bytes.length < 2) return undefined;
  const opcode = (bytes[0] as number) & 15;
  const isWhole = ((bytes[0] as number) & 0xf0) === 0x80;
  const short = bytes[1] as number;
  if (!isWhole || short >= 127 || ![TEXT, CLOSE, PING, PONG].includes(opcode)) return "bad";
  const from = short === 126 ? 4 : 2;
  if (bytes.length < from) return undefined;
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < from + length) return undefined;
  return { opcode, payload: bytes.subarray(from, from + length), rest: bytes.subarray(from + length) };
}

/** Masked with zeros, which RFC 6455, 5.3, allows a client that trusts what it sends. Payloads are below 126 bytes. */
function frameOf(opcode: number, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

function closeFrame(code: number): Uint8Array {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frameOf(CLOSE, payload);
}
