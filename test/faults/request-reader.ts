/** Reads the requests of one connection, as a server that keeps a ledger must: heads and Content-Length bodies, nothing else. */

export interface ReceivedRequest {
  method: string;
  url: string;
  id: string;
  close: boolean;
  body: Uint8Array;
}

export class RequestReader {
  #held: Buffer = Buffer.alloc(0);

  /** The requests that are complete with these bytes. */
  push(chunk: Uint8Array): ReceivedRequest[] {
    const complete: ReceivedRequest[] = [];
    this.#held = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const headEnd = this.#held.indexOf("\r\n\r\n");
      if (headEnd < 0) return complete;
      const lines = this.#held.subarray(0, headEnd).toString("latin1").split("\r\n");
      const length = Number(field(lines, "content-length") ?? 0);
      const end = headEnd + 4 + length;
      if (this.#held.length < end) return complete;
      const [method = "", url = ""] = (lines[0] ?? "").split(" ");
      complete.push({
        method,
        url,
        id: field(lines, "x-request-id") ?? "",
        close: field(lines, "connection") === "close",
        body: this.#held.subarray(headEnd + 4, end),
      });
      this.#held = this.#held.subarray(end);
    }
  }
}

function field(lines: string[], name: string): string | undefined {
  const line = lines.find((one) => one.toLowerCase().startsWith(`${name}:`));
  return line?.slice(name.length + 1).trim();
}
