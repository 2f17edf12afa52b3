/** Reads the answers of one connection, one behind the other. Written for the tests, as a check of src/kept/framing.ts and src/http. */

export interface WholeAnswer {
  status: number;
  body: string;
}

export class Answers {
  /** Of those that begin with 1, so far. */
  interims = 0;
  /** The next one is that of a HEAD. */
  isHead = false;
  #text = "";

  push(bytes: Uint8Array): void {
    this.#text += Buffer.from(bytes).toString("latin1");
  }

  /** 1 where a whole one has come. */
  get pending(): number {
    return this.#read() ? 1 : 0;
  }

  take(): WholeAnswer | undefined {
    const found = this.#read();
    if (!found) return undefined;
    this.#text = this.#text.slice(found.end);
    this.interims = 0;
    return found;
  }

  #read(): (WholeAnswer & { end: number }) | undefined {
    for (;;) {
      const end = this.#text.indexOf("\r\n\r\n") + 4;
      if (end < 4) return undefined;
      const head = this.#text.slice(0, end);
      const status = Number(/^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n/.exec(head)?.[1]);
      if (Number.isNaN(status)) throw new Error(`no answer: ${JSON.stringify(head)}`);
      if (status < 200) {
        this.interims += 1;
        this.#text = this.#text.slice(end);
        continue;
      }
      return this.#readBody(status, head, end);
    }
  }

  #readBody(status: number, head: string, from: number): (WholeAnswer & { end: number }) | undefined {
    if (this.isHead) return { status, body: "", end: from };
    const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1];
    if (length !== undefined) {
      const end = from + Number(length);
      return this.#text.length < end ? undefined : { status, body: this.#text.slice(from, end), end };
    }
    if (!/\r\ntransfer-encoding: chunked\r\n/i.test(head)) throw new Error(`no length: ${head}`);
    let body = "";
    for (let at = from; ; ) {
      const line = /^([0-9a-f]+)\r\n/.exec(this.#text.slice(at, at + 20));
      if (!line) return undefined;
      const size = Number.parseInt(line[1] ?? "", 16);
      const data = at + line[0].length;
      if (size === 0) {
        const [trailers] = /^(?:[^\r\n]+\r\n)*\r\n/.exec(this.#text.slice(data)) ?? [];
        return trailers === undefined ? undefined : { status, body, end: data + trailers.length };
      }
      if (this.#text.length < data + size + 2) return undefined;
      body += this.#text.slice(data, data + size);
      at = data + size + 2;
    }
  }
}
