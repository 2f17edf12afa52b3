/**
 * What happens to the connections that clients keep to a generation that is replaced (kept/README.md). Pure.
 *
 * `auto` keeps connections only where clients can hardly be worse off: those of the first socket, if it is TCP (which tells what its server
 * has read) and HTTP/1 without TLS was seen there: an answer to hupwatch, or a client's request. In any other protocol a client must see at
 * once that its server has closed.
 */
import type { SocketSpec } from "../sockets/spec.ts";

export const KEPT_CONNECTIONS = ["auto", "adopt", "adopt=any", "close"] as const;
export type KeptConnections = (typeof KEPT_CONNECTIONS)[number];

/**
 * The ways to a generation whose connections live on, if they speak HTTP/1. `path`: of a Unix socket. `hasFirstLine`: its clients may be those
 * that a first line names, which a kept connection does not repeat (proxy-protocol.ts).
 */
export function waysKept<Way extends { path: string | undefined }>(
  mode: KeptConnections,
  ways: readonly Way[],
  hasFirstLine: () => boolean,
): readonly Way[] {
  if (mode === "close") return [];
  if (mode !== "auto") return ways;
  const [first] = ways;
  return first && first.path === undefined && !hasFirstLine() ? [first] : [];
}

/** How long a client may be silent, in milliseconds. Short with `auto`: a client that waits for an event must learn soon that its server is gone. */
export const patienceOf = (mode: KeptConnections): number =>
  mode === "auto" ? 2000 : Number.POSITIVE_INFINITY;

interface Known {
  keptConnections: KeptConnections;
  sockets: readonly SocketSpec[];
  checks: readonly { label: string }[];
}

const OPT_IN = "--kept-connections adopt lets them live on";

/**
 * Where connections are closed: nginx must have let go of them before. It sends one last request on a connection that is older than the
 * one, and closes a connection that is idle for longer than the other.
 * https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive_time
 */
export const RECIPE =
  "set nginx's keepalive_time and keepalive_timeout so that both together are below --drain-until-idle";

/** Each is called only if it matters. */
interface Looks {
  /** The kernel allows no duplicate of another process's descriptor here. */
  isRefused(): boolean;
  /** What speaks of the PROXY protocol. */
  firstLine(): string | undefined;
}

/** For people. */
export function keptInWords(known: Known, looks: Looks): string {
  const why = whyClosed(known, looks) ?? (looks.isRefused() ? "pidfd_getfd(2) is refused here" : undefined);
  if (why !== undefined)
    return `connections that clients keep are closed when the server closes them: ${why}; ${RECIPE}`;
  const { keptConnections: mode, sockets } = known;
  if (mode === "adopt=any")
    return "connections that clients keep live on; the server sees another peer for those of other machines";
  if (mode === "adopt")
    return "connections that clients on this machine keep live on; those of others are closed when the server closes them";
  const where = sockets.length > 1 ? ` to ${sockets[0]?.text}` : "";
  const seen = isAsked(known) ? "it answers in HTTP/1" : "a client was seen to speak HTTP/1";
  return `connections that clients on this machine keep${where} live on, if ${seen} without TLS; others are closed when the server closes them`;
}

function whyClosed({ keptConnections: mode, sockets: [first] }: Known, looks: Looks): string | undefined {
  if (mode === "close") return "--kept-connections close ('auto' and 'adopt' let them live on)";
  if (mode !== "auto") return undefined;
  if (first?.address.kind === "unix" || first?.address.kind === "abstract")
    return `a Unix socket does not show what was read (${OPT_IN})`;
  const line = looks.firstLine();
  if (line !== undefined) return `the PROXY protocol's line would not be repeated, of which '${line}' speaks`;
  return undefined;
}

/** The readiness check shows what it speaks. */
const isAsked = ({ checks }: Known): boolean => checks.some(({ label }) => /^http(:|$)/.test(label));
