/**
 * Servers that are good to the usual client and fail one that takes its time: it is silent at first, sends or reads slowly,
 * closes its half, or stays for a stream. For each kind one that serves it well, and those that must be found out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket, SocketHandler } from "bun";
import type { FailureClass, Phase } from "../../src/load/outcome.ts";
import type { Kind } from "../../src/load/plan.ts";
import { RequestReader } from "./request-reader.ts";
import { answer, contractBody, type Transport } from "./server.ts";

interface Peer {
  reader: RequestReader;
  unsent: Uint8Array;
  pieces: number;
  upgraded: boolean;
}

type Client = Socket<Peer>;

export interface ClientFault {
  kind: Kind;
  transports: Transport[];
  /** Undefined: a good server, and nothing may be found. */
  found?: { class: FailureClass; phase: Phase; errno?: string; closeCode?: number };
  handlers: Partial<SocketHandler<Peer>> & { allowHalfOpen?: boolean };
}

const BOTH: Transport[] = ["unix", "tcp"];
/** Shorter than the clients are silent or stay. */
const SOON_MS = 30;
/** More than the kernel takes. */
const BIG_BYTES = 8 * 1024 * 1024;
const BIG_ANSWER = Buffer.concat([
  Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG_BYTES}\r\n\r\n`),
  new Uint8Array(BIG_BYTES).fill(120),
]);

function send(client: Client, bytes: string | Uint8Array): void {
  client.data.unsent = Buffer.from(bytes as Uint8Array);
  flush(client);
}

function flush(client: Client): void {
  const { data } = client;
  data.unsent = data.unsent.subarray(Math.max(0, client.write(data.unsent)));
}

/** Answers each whole request by the contract, and closes. */
const serve = (client: Client, chunk: Uint8Array): void => {
  for (const request of client.data.reader.push(chunk)) {
    send(client, answer(request.method === "POST" ? contractBody(request) : "hello\n", request));
    client.end();
  }
};

const later = (act: () => void) => void setTimeout(act, SOON_MS);

/** The head and one chunk, then what `go on` does. */
const stream = (goOn: (client: Client) => void) => (client: Client, chunk: Uint8Array) => {
  if (client.data.reader.push(chunk).length === 0) return;
  client.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  later(() => goOn(client));
};

const UPGRADE = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/** Takes the upgrade; `text` answers each frame. Clients' masks are zeros, so that a payload can be read as it comes. */
const websocket = (onText: (client: Client, payload: Buffer) => void) => (client: Client, chunk: Buffer) => {
  if (!client.data.upgraded) {
    client.data.upgraded = client.data.reader.push(chunk).length > 0;
    if (client.data.upgraded) client.write(UPGRADE);
    return;
  }
  const payload = Buffer.from(chunk.subarray(6, 6 + ((chunk[1] ?? 0) & 127)));
  if (((chunk[0] ?? 0) & 15) === 8) client.write(frame(8, payload));
  else onText(client, payload);
};

const frame = (opcode: number, payload: Uint8Array) =>
  Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]);

const echo = (client: Client, payload: Buffer) => void client.write(frame(1, payload));

export const CLIENT_FAULTS: Record<string, ClientFault> = {
  "a silent client is served when it speaks": {
    ...{ kind: "late", transports: BOTH },
    handlers: { data: serve },
  },
  "a silent client is closed": {
    ...{ kind: "late", transports: BOTH, found: { class: "closed-before-request", phase: "silent" } },
    handlers: { open: (client) => later(() => client.end()), data: serve },
  },
  "a silent client is reset": {
    ...{ kind: "late", transports: ["tcp"] },
    found: { class: "closed-before-request", phase: "silent", errno: "ECONNRESET" },
    handlers: { open: (client) => later(() => client.terminate()), data: serve },
  },
  "a silent client is answered with a timeout": {
    ...{ kind: "late", transports: BOTH, found: { class: "closed-before-request", phase: "silent" } },
    handlers: {
      open: (client) => later(() => client.end("HTTP/1.1 408 Request Timeout\r\n\r\n")),
      data: serve,
    },
  },
  "a silent client is closed when it speaks": {
    ...{ kind: "late", transports: BOTH, found: { class: "fin-before-byte", phase: "before-byte" } },
    handlers: { data: (client) => void client.end() },
  },
  "a slow sender is waited for": {
    ...{ kind: "slow-send", transports: BOTH },
    handlers: { data: serve },
  },
  "a slow sender is closed at its second piece": {
    ...{ kind: "slow-send", transports: BOTH, found: { class: "fin-before-byte", phase: "before-byte" } },
    handlers: {
      data: (client, chunk) => {
        if (++client.data.pieces > 1) client.end();
        else serve(client, chunk);
      },
    },
  },
  "a slow reader gets all": {
    ...{ kind: "slow-read", transports: BOTH },
    handlers: {
      data: (client, chunk) => {
        if (client.data.reader.push(chunk).length > 0) send(client, BIG_ANSWER);
      },
      drain: flush,
    },
  },
  "a slow reader is closed with a full send buffer": {
    ...{ kind: "slow-read", transports: BOTH, found: { class: "cut-body", phase: "body" } },
    handlers: {
      data: (client, chunk) => {
        if (client.data.reader.push(chunk).length === 0) return;
        send(client, BIG_ANSWER);
        later(() => client.end());
      },
    },
  },
  "half a connection is answered": {
    ...{ kind: "half-close", transports: BOTH },
    handlers: {
      allowHalfOpen: true,
      data: (client, chunk) => {
        for (const request of client.data.reader.push(chunk))
          later(() => {
            send(client, answer("hello\n", request));
            client.end();
          });
      },
      end() {},
    },
  },
  "half a connection is taken for none": {
    ...{ kind: "half-close", transports: BOTH, found: { class: "fin-before-byte", phase: "before-byte" } },
    handlers: {
      allowHalfOpen: true,
      data: (client, chunk) => void client.data.reader.push(chunk),
      end: (client) => void client.end(),
    },
  },
  "a stream comes to its end": {
    ...{ kind: "sse", transports: BOTH },
    handlers: { data: stream((client) => void client.end("0\r\n\r\n")) },
  },
  "a stream is closed in the middle": {
    ...{ kind: "sse", transports: BOTH, found: { class: "stream-cut", phase: "body" } },
    handlers: { data: stream((client) => void client.end()) },
  },
  "a stream is reset": {
    ...{ kind: "sse", transports: ["tcp"] },
    found: { class: "stream-cut", phase: "body", errno: "ECONNRESET" },
    handlers: { data: stream((client) => client.terminate()) },
  },
  "a WebSocket echoes, and says goodbye": {
    ...{ kind: "websocket", transports: BOTH },
    handlers: { data: websocket(echo) },
  },
  "a WebSocket is closed for a restart": {
    ...{ kind: "websocket", transports: BOTH },
    found: { class: "stream-closed", phase: "body", closeCode: 1012 },
    handlers: {
      data: websocket((client) => void client.end(frame(8, Buffer.from([1012 >> 8, 1012 & 255])))),
    },
  },
  "a WebSocket is cut": {
    ...{ kind: "websocket", transports: BOTH, found: { class: "stream-cut", phase: "body" } },
    handlers: { data: websocket((client) => void client.end()) },
  },
  "a WebSocket says something else": {
    ...{ kind: "websocket", transports: BOTH, found: { class: "wrong-body", phase: "answer" } },
    handlers: { data: websocket((client) => echo(client, Buffer.from("x"))) },
  },
  "a WebSocket breaks its framing": {
    ...{ kind: "websocket", transports: BOTH, found: { class: "malformed", phase: "answer" } },
    handlers: { data: websocket((client) => void client.write("HTTP/1.1 200 OK\r\n\r\n")) },
  },
  "an upgrade is refused": {
    ...{ kind: "websocket", transports: BOTH, found: { class: "bad-status", phase: "answer" } },
    handlers: { data: serve },
  },
};

/** Owns the listener and its folder. */
export class ClientFaultServer implements Disposable {
  readonly target: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "hupwatch-clients-"));
  readonly #listener: { stop(force?: boolean): void };

  constructor(transport: Transport, { handlers }: ClientFault) {
    const { allowHalfOpen = false, open, ...rest } = handlers;
    const socket: SocketHandler<Peer> = {
      data() {},
      ...rest,
      open(client) {
        client.data = { reader: new RequestReader(), unsent: new Uint8Array(), pieces: 0, upgraded: false };
        open?.(client);
      },
      error() {},
    };
    const path = join(this.#folder, "s");
    if (transport === "unix") {
      this.#listener = Bun.listen<Peer>({ unix: path, socket, allowHalfOpen });
      this.target = `unix:${path}`;
    } else {
      const listener = Bun.listen<Peer>({ hostname: "127.0.0.1", port: 0, socket, allowHalfOpen });
      this.#listener = listener;
      this.target = `127.0.0.1:${listener.port}`;
    }
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
