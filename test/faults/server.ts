/**
 * The fault server: answers by the fixture contract, and breaks every n-th answer in one chosen way. It keeps the ids of
 * all requests it got, so a client that tries again in secret is found out.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import { type ReceivedRequest, RequestReader } from "./request-reader.ts";

export interface Ask {
  socket: Socket<Peer>;
  request: ReceivedRequest;
  /** The good answer, whole. */
  good: string;
}

/** What is done in place of the good answer. */
export type Fault = (ask: Ask) => void;

interface Peer {
  reader: RequestReader;
}

export type Transport = "unix" | "tcp";

export class FaultServer implements Disposable {
  /** Ids in the order of arrival. */
  readonly received: string[] = [];
  injected = 0;
  readonly target: string;
  readonly #listener: { stop(force?: boolean): void };
  readonly #folder = mkdtempSync(join(tmpdir(), "hupwatch-fault-"));
  readonly #releases = join(this.#folder, "releases");
  /** A shell's line that makes it another release, as X-Version has it. */
  readonly deploy = `printf x >>'${this.#releases}'`;

  /** Breaks every `every`-th answer, counted over all connections; 0: none. */
  constructor(
    transport: Transport,
    private readonly fault: Fault,
    private readonly every: number,
  ) {
    const socket = {
      open: (s: Socket<Peer>) => {
        s.data = { reader: new RequestReader() };
      },
      data: (s: Socket<Peer>, chunk: Uint8Array) => {
        for (const request of s.data.reader.push(chunk)) this.#answer(s, request);
      },
    };
    if (transport === "unix") {
      const path = join(this.#folder, "fault.sock");
      this.#listener = Bun.listen<Peer>({ unix: path, socket });
      this.target = `unix:${path}`;
    } else {
      const listener = Bun.listen<Peer>({ hostname: "127.0.0.1", port: 0, socket });
      this.#listener = listener;
      this.target = `http://127.0.0.1:${listener.port}/`;
    }
  }

  #answer(socket: Socket<Peer>, request: ReceivedRequest): void {
    this.received.push(request.id);
    const good = this.#goodAnswer(request);
    if (this.every > 0 && this.received.length % this.every === 0) {
      this.injected++;
      this.fault({ socket, request, good });
      return;
    }
    socket.write(good);
    if (request.close) socket.end();
  }

  #goodAnswer(request: ReceivedRequest): string {
    const content = request.url.startsWith("/upload") ? contractBody(request) : "hello\n";
    // Every run sees a change of version, so that none takes one for a fault.
    const deployed = statSync(this.#releases, { throwIfNoEntry: false })?.size ?? 0;
    return answer(content, { id: request.id, version: this.received.length === 1 ? "0" : `${deployed + 1}` });
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What the contract wants `POST /upload` to say. */
export const contractBody = ({ body, id }: ReceivedRequest, change: object = {}): string =>
  JSON.stringify({
    bytes: body.length,
    sha256: new Bun.CryptoHasher("sha256").update(body).digest("hex"),
    id,
    ...change,
  });

export const answer = (content: string, { id = "", version = "1", status = "200 OK" } = {}): string =>
  `HTTP/1.1 ${status}\r\nX-Version: ${version}\r\nX-Request-Id: ${id}\r\nContent-Length: ${content.length}\r\n\r\n${content}`;
