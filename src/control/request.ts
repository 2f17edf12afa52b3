/** Reads one HTTP/1.x request as its bytes come. Pure. Bodies are never needed here, so what follows the head is ignored. */

export interface Request {
  method: string;
  path: string;
  query: URLSearchParams;
}

/** An answer that refuses: its status and its reason. */
export interface Refusal {
  status: number;
  reason: string;
}

const MAX_HEAD_BYTES = 8192;
const REQUEST_LINE = /^([A-Z]{1,16}) (\/[!-~]*) HTTP\/1\.[01]$/;

export class RequestReader {
  #head = "";

  /** Undefined: more must come. */
  push(bytes: Uint8Array): Request | Refusal | undefined {
    // Only the first bytes of all count, wherever the pieces were cut.
    const wanted = MAX_HEAD_BYTES - this.#head.length;
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, wanted));
    this.#head += piece.toString("latin1");
    const hasEnded = /\r?\n\r?\n/.test(this.#head);
    const line = this.#head.match(/^(.*?)\r?\n/s)?.[1];
    // Another protocol, or no protocol at all, is told at once.
    const parts = line === undefined ? undefined : REQUEST_LINE.exec(line);
    if (line !== undefined && !parts) return { status: 400, reason: "not an HTTP/1.1 request" };
    if (!hasEnded)
      return this.#head.length === MAX_HEAD_BYTES
        ? { status: 431, reason: `a head of more than ${MAX_HEAD_BYTES} bytes` }
        : undefined;
    const [, method = "", target = ""] = parts ?? [];
    const [path = "", query] = target.split("?", 2);
    return { method, path, query: new URLSearchParams(query) };
  }
}
