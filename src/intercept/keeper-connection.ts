/** hupwatch's connection to one keeper: requests, each of which is answered at once, and the stream of what the keeper sees by itself. */
import { close, SystemError } from "../os/libc.ts";
import { receiveWithDescriptors, sendWithDescriptors, setSendBuffer, waitFor } from "../os/libc-intercept.ts";
import { isKeepersChild } from "./kept-process.ts";
import {
  type KeeperEvent,
  type KeeperReply,
  type KeeperRequest,
  PACKET_BYTES_MAX,
  readEvent,
} from "./protocol.ts";

/** Longer than the keeper waits for its helper (HELPER_MS): on a machine that is this slow no client is served anyway. */
export const REPLY_MS = 45_000;

/** Of characters: longer than any event. */
const LINE_MAX = 8192;

export interface Told {
  reply: Extract<KeeperReply, { ok: true }>;
  /** Ours to close. */
  fds: number[];
}

export class KeeperConnection implements Disposable {
  #isOpen = true;

  /** It owns the descriptor. */
  constructor(
    private readonly fd: number,
    private readonly replyMs: number,
  ) {
    setSendBuffer(fd, 2 * PACKET_BYTES_MAX);
  }

  /**
   * Throws SystemError: EPIPE or ECONNRESET where it has ended, ETIMEDOUT where it hangs or is stopped. Afterwards there is no connection, so that
   * what it would answer later is not taken for another answer.
   */
  ask(request: KeeperRequest, fds: readonly number[]): Told {
    if (!this.#isOpen) throw new SystemError("keeper", "EPIPE");
    sendWithDescriptors(this.fd, Buffer.from(JSON.stringify(request)), fds);
    if (waitFor([this.fd], this.replyMs).length === 0) {
      this[Symbol.dispose]();
      throw new SystemError("keeper", "ETIMEDOUT");
    }
    const { bytes, fds: got, isWhole } = receiveWithDescriptors(this.fd, PACKET_BYTES_MAX);
    if (bytes.length === 0) throw new SystemError("keeper", "EPIPE");
    const reply = JSON.parse(Buffer.from(bytes).toString()) as KeeperReply;
    if (!isWhole) {
      // Without the descriptor of its filter we could not go on for its keeper.
      if ("child" in reply && isKeepersChild(reply.child)) process.kill(reply.child, "SIGKILL");
      throw new SystemError("recvmsg", "EMFILE");
    }
    if (reply.ok) return { reply, fds: got };
    for (const fd of got) close(fd);
    throw new SystemError(reply.call, reply.errno);
  }

  /** `stream` becomes the event loop's own. `ended` is called when the keeper has closed its end. */
  hear(stream: number, heard: (event: KeeperEvent) => void, ended: () => void): void {
    let line = "";
    void Bun.connect({
      fd: stream,
      socket: {
        data: (_: unknown, bytes: Buffer) => {
          const lines = (line + bytes.toString()).split("\n");
          // What is longer is none of ours, and what follows it up to its end is none, either.
          line = (lines.pop() ?? "").slice(0, LINE_MAX);
          for (const event of lines.map(readEvent)) if (event) heard(event);
        },
        error: () => {},
        close: ended,
      },
    } as never).catch(ended);
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) close(this.fd);
    this.#isOpen = false;
  }
}
