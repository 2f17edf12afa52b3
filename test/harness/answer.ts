/**
 * Reads one HTTP/1.1 response as it arrives. Written for the tests and not shared with src/http on purpose: a fault in
 * one of the two shows as a difference.
 */
import { Failure, type Phase } from "./failure.ts";

type Framing = { kind: "length"; left: number } | { kind: "chunked"; left: number } | { kind: "until-close" };

export class Answer {
  status = 0;
  headers = new Map<string, string>();
  done = false;
  #body: Buffer[] = [];
  #unread = Buffer.alloc(0);
  #framing: Framing | undefined;
  #any = false;

  get body(): string {
    return Buffer.concat(this.#body).toString();
  }

  /** What a failure now would have cut short. */
  get phase(): Phase {
    if (this.#framing) return "body";
    return this.#any ? "header" : "first-byte";
  }

  /** Throws Failure on bytes that are no response, and on bytes after its end. */
  push(bytes: Buffer): void {
    this.#any ||= bytes.length > 0;
    if (this.done) throw new Failure("body", "SURPLUS");
    this.#unread = this.#unread.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#unread, bytes]);
    if (!this.#framing) this.#readHead();
    if (this.#framing?.kind === "chunked") this.#readChunks(this.#framing);
    else if (this.#framing) this.#readPlain(this.#framing);
  }

  /** The peer closed in order. True where that is how this response ends. */
  end(): boolean {
    if (this.#framing?.kind === "until-close") this.done = true;
    return this.done;
  }

  #readHead(): void {
    const end = this.#unread.indexOf("\r\n\r\n");
    if (end < 0) return;
    const [line = "", ...fields] = this.#unread.toString("latin1", 0, end).split("\r\n");
    const status = /^HTTP\/1\.[01] (\d{3})( |$)/.exec(line)?.[1];
    if (!status) throw new Failure("header", "GARBAGE");
    this.status = Number(status);
    for (const field of fields) {
      const colon = field.indexOf(":");
      if (colon < 1) throw new Failure("header", "GARBAGE");
      this.headers.set(field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim());
    }
    this.#unread = this.#unread.subarray(end + 4);
    const length = this.headers.get("content-length");
    if (this.headers.get("transfer-encoding") === "chunked") this.#framing = { kind: "chunked", left: 0 };
    else if (length !== undefined) this.#framing = { kind: "length", left: Number(length) };
    else this.#framing = { kind: "until-close" };
  }

  #readPlain(framing: Exclude<Framing, { kind: "chunked" }>): void {
    const arrived = this.#unread;
    this.#unread = Buffer.alloc(0);
    this.#body.push(arrived);
    if (framing.kind === "until-close") return;
    framing.left -= arrived.length;
    if (framing.left < 0) throw new Failure("body", "SURPLUS");
    this.done = framing.left === 0;
  }

  #readChunks(framing: { left: number }): void {
    for (;;) {
      if (framing.left === 0) {
        const lineEnd = this.#unread.indexOf("\r\n");
        if (lineEnd < 0) return;
        const size = Number.parseInt(this.#unread.toString("latin1", 0, lineEnd), 16);
        if (Number.isNaN(size)) throw new Failure("body", "GARBAGE");
        if (size === 0) {
          // No server of the fixtures sends trailers: the last chunk is followed by one empty line.
          this.done = this.#unread.length >= lineEnd + 4;
          return;
        }
        this.#unread = this.#unread.subarray(lineEnd + 2);
        framing.left = size + 2;
      }
      const piece = this.#unread.subarray(0, framing.left);
      this.#unread = this.#unread.subarray(piece.length);
      // Each chunk's own line end is counted with it and is not part of the body.
      const ofBody = Math.max(0, Math.min(piece.length, framing.left - 2));
      this.#body.push(piece.subarray(0, ofBody));
      framing.left -= piece.length;
      if (framing.left > 0) return;
    }
  }
}
