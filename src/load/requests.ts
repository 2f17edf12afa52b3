/**
 * The requests as bytes, and what their answers must say. Every request carries an id of its own in X-Request-Id, also
 * the plainest GET: a log of the server can be joined with ours, and an answer to another client is reported.
 *
 * Requests are encoded once; sending one patches the ten digits of its id in place. The bytes handed out are valid
 * until the next `encode`.
 */
import type { ResponseReader } from "../http/response.ts";
import { MANNERS } from "./manners.ts";
import type { Failure } from "./outcome.ts";
import { KINDS, type Kind, type LoadPlan, type Mode } from "./plan.ts";
import { UPGRADE_FIELDS } from "./websocket.ts";

const DIGITS = 10;
/** Bodies per kind: neighbours differ, so an answer to the wrong body is told by its checksum too. */
const VARIANTS = 4;
const POST_BYTES = 1024;
/** Of a stream. */
const CHUNK_EVERY_MS = 100;
/** Enough for the contract's JSON and a proxy's wrapping. */
const KEPT_ANSWER_BYTES = 4096;

/** How often each kind comes in `mix`: out of 20. Order and spread are fixed, so that a run can be repeated. */
const MIX: readonly Kind[] = [
  ...(["keepalive", "fresh", "post", "keepalive", "fresh"] as const),
  ...(["keepalive", "post", "slow", "keepalive", "fresh"] as const),
  ...(["keepalive", "fresh", "post", "keepalive", "upload"] as const),
  ...(["keepalive", "fresh", "post", "keepalive", "fresh"] as const),
];

/** The kind of a run's n-th request: fixed, so that a ledger can be read without a list of ids. */
export const kindAt = (mode: Mode, n: number): Kind =>
  mode === "mix" ? (MIX[n % MIX.length] as Kind) : mode;

interface Encoded {
  bytes: Uint8Array;
  /** Where the digits of the id are. */
  digitsAt: number;
  body: { bytes: number; sha256: string } | undefined;
}

export class Requests {
  /** Begins every id of this run, e.g. `3f9a1c-`; ten digits follow. */
  readonly idPrefix: string;
  readonly #prefixBytes: Uint8Array;
  readonly #encoded: Record<Kind, Encoded[]>;

  constructor(private readonly plan: LoadPlan) {
    this.idPrefix = `${crypto.randomUUID().slice(0, 6)}-`;
    this.#prefixBytes = Buffer.from(this.idPrefix);
    const used = plan.mode === "mix" ? MIX : [plan.mode];
    this.#encoded = Object.fromEntries(
      KINDS.map((kind) => [kind, used.includes(kind) ? this.#encodeKind(kind) : []]),
    ) as Record<Kind, Encoded[]>;
  }

  kindOf(n: number): Kind {
    return kindAt(this.plan.mode, n);
  }

  idOf(n: number): string {
    return this.idPrefix + String(n).padStart(DIGITS, "0");
  }

  /** What the reader needs to know before the answer comes. */
  keepBodyBytes(kind: Kind): number {
    return this.plan.checkBodies && MANNERS[kind].posts ? KEPT_ANSWER_BYTES : 0;
  }

  encode(n: number, kind: Kind): Uint8Array {
    const { bytes, digitsAt } = this.#variant(n, kind);
    for (let at = digitsAt + DIGITS - 1, rest = n; at >= digitsAt; at--, rest = Math.floor(rest / 10))
      bytes[at] = 48 + (rest % 10);
    return bytes;
  }

  /** The id has been sent when so many bytes have: what follows of `encode`'s bytes never changes. */
  idEndsAt(n: number, kind: Kind): number {
    return this.#variant(n, kind).digitsAt + DIGITS;
  }

  /** Judges a complete answer. Undefined: it is good. */
  judge(reader: ResponseReader, n: number, kind: Kind): Failure | undefined {
    if (reader.surplusBytes > 0)
      return wrong("surplus-bytes", `${reader.surplusBytes} bytes behind the answer`);
    if (reader.status === 502 || reader.status === 504)
      return wrong("bad-gateway", `status ${reader.status}`);
    if (reader.status >= 400) return wrong("bad-status", `status ${reader.status}`);
    if (reader.head.withHeader("x-request-id", this.#readEcho) && this.#echoed !== n)
      return wrong("wrong-body", `answers id '${reader.head.header("x-request-id")}'`);
    return this.keepBodyBytes(kind) > 0 ? this.#judgeBody(reader.bodyText(), n, kind) : undefined;
  }

  #judgeBody(text: string, n: number, kind: Kind): Failure | undefined {
    const sent = this.#variant(n, kind).body;
    const got = parseObject(text);
    if (!got) return wrong("wrong-body", `not the contract's JSON: ${JSON.stringify(text.slice(0, 60))}`);
    if (got.id !== this.idOf(n)) return wrong("wrong-body", `answers id '${got.id}' in its body`);
    if (got.bytes !== sent?.bytes)
      return wrong("wrong-body", `received ${got.bytes} of ${sent?.bytes} bytes`);
    return got.sha256 === sent?.sha256
      ? undefined
      : wrong("wrong-body", "received a body with another checksum");
  }

  /** The number of the id that was echoed; -1 where it is none of ours. */
  #echoed = -1;
  readonly #readEcho = (bytes: Uint8Array, from: number, to: number) => {
    const prefix = this.#prefixBytes;
    this.#echoed = -1;
    if (to - from !== prefix.length + DIGITS) return;
    for (let i = 0; i < prefix.length; i++) if (bytes[from + i] !== prefix[i]) return;
    let n = 0;
    for (let at = from + prefix.length; at < to; at++) n = n * 10 + (bytes[at] as number) - 48;
    this.#echoed = n;
  };

  #variant(n: number, kind: Kind): Encoded {
    const variants = this.#encoded[kind];
    return variants[n % variants.length] as Encoded;
  }

  #encodeKind(kind: Kind): Encoded[] {
    switch (kind) {
      case "post":
      case "slow-send":
        return Array.from({ length: VARIANTS }, (_, i) => this.#encodeOne(kind, body(POST_BYTES, i)));
      case "upload":
        return Array.from({ length: 2 }, (_, i) => this.#encodeOne(kind, body(this.plan.uploadBytes, i)));
      default:
        return [this.#encodeOne(kind, undefined)];
    }
  }

  #encodeOne(kind: Kind, content: Uint8Array | undefined): Encoded {
    const { host } = this.plan.target;
    const lines = [
      `${content ? "POST" : "GET"} ${this.#urlOf(kind)} HTTP/1.1`,
      `Host: ${host}`,
      "User-Agent: hupwatch-load",
      ...connectionFields(kind),
      ...(content ? ["Content-Type: application/octet-stream", `Content-Length: ${content.length}`] : []),
      `X-Request-Id: ${this.idPrefix}`,
    ];
    const upToId = Buffer.from(lines.join("\r\n"));
    return {
      // Not a Buffer, whose slice(3) would be the same bytes, whatever is patched into them later.
      bytes: new Uint8Array(
        Buffer.concat([upToId, Buffer.from(`${"0".repeat(DIGITS)}\r\n\r\n`), content ?? Buffer.alloc(0)]),
      ),
      digitsAt: upToId.length,
      body: content && { bytes: content.length, sha256: sha256(content) },
    };
  }

  /** The contract's own paths, unless the target names one for the only kind there is. */
  #urlOf(kind: Kind): string {
    const { url } = this.plan.target;
    const own = this.plan.mode !== "mix" && url !== "/";
    if (own) return url;
    const { slowMs, lingerMs, readBytes, websocketUrl } = this.plan;
    switch (kind) {
      case "slow":
        return `/slow?ms=${slowMs}`;
      case "slow-read":
        return `/big?bytes=${readBytes}`;
      case "sse":
        return `/stream?chunks=${Math.max(1, Math.ceil(lingerMs / CHUNK_EVERY_MS))}&ms=${CHUNK_EVERY_MS}`;
      case "websocket":
        return websocketUrl;
      default:
        return MANNERS[kind].posts ? "/upload" : url;
    }
  }
}

function connectionFields(kind: Kind): string[] {
  const { reuses, streams } = MANNERS[kind];
  if (streams === "websocket") return UPGRADE_FIELDS;
  return [...(reuses ? [] : ["Connection: close"]), ...(streams ? ["Accept: text/event-stream"] : [])];
}

const wrong = (cls: Failure["class"], detail: string): Failure => ({ class: cls, phase: "answer", detail });

/** Bytes that look random and are the same in every run. */
function body(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = 0x9e3779b9 ^ (seed + 1);
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x & 255;
  }
  return bytes;
}

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

function parseObject(text: string): { bytes?: unknown; sha256?: unknown; id?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
