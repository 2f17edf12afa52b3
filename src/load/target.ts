/**
 * What TARGET says, as data: `unix:/path[:/url]`, `unix:@abstract[:/url]`, `host:port[/url]` as `--bind` takes it, or
 * `http://host:port/url`. Parsing only.
 */
import { resolve } from "node:path";
import { HupwatchError } from "../error.ts";
import { MAX_UNIX_PATH_BYTES } from "../sockets/sockaddr.ts";

export type Address =
  /** `path` begins with NUL for Linux's abstract names, as Bun.connect wants it. */
  { kind: "unix"; path: string } | { kind: "tcp"; hostname: string; port: number };

export interface Target {
  address: Address;
  /** The request target: path and query. */
  url: string;
  /** What the Host field says. */
  host: string;
  /** As the user wrote it. */
  text: string;
}

const FORMS =
  "use unix:/path/to.sock, host:port or :port, each with a URL behind it if you like (unix:/path/to.sock:/url, host:port/url)";

/** What `--bind` may say for every address, and what of them one can connect to. */
const EVERY_HOST = new Map<string, string>(
  Object.entries({
    "": "127.0.0.1",
    "*": "127.0.0.1",
    "0.0.0.0": "127.0.0.1",
    "[::]": "[::1]",
  }),
);

/** A relative Unix path is taken from `cwd`. Throws a usage error that names the value. */
export function parseTarget(text: string, cwd: string): Target {
  if (text.startsWith("unix:")) return unixTarget(text, cwd);
  if (text.startsWith("/") || text.startsWith("./")) throw refuse(text, "needs unix: before its path");
  if (text.startsWith("http://")) return httpTarget(text);
  if (text.startsWith("https://")) throw refuse(text, "is TLS, which load does not support");
  const bound = /^(?:tcp:\/\/)?(\[[^\]]*\]|[^:[\]/]*):(\d+)(\/.*)?$/.exec(text);
  if (!bound) throw refuse(text, "is neither unix: nor host:port nor http://");
  const [, host = "", port, url = "/"] = bound;
  return httpTarget(text, `http://${EVERY_HOST.get(host) ?? host}:${port}${url}`);
}

function unixTarget(text: string, cwd: string): Target {
  const rest = text.slice("unix:".length);
  const seam = rest.indexOf(":/");
  const name = seam < 0 ? rest : rest.slice(0, seam);
  const url = seam < 0 ? "/" : rest.slice(seam + 1);
  if (name === "" || name === "@") throw refuse(text, "names no socket");
  const path = name.startsWith("@") ? `\0${name.slice(1)}` : resolve(cwd, name);
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_UNIX_PATH_BYTES)
    throw refuse(
      text,
      `has a path of ${bytes} bytes, and a Unix socket's has ${MAX_UNIX_PATH_BYTES} at most`,
    );
  return { address: { kind: "unix", path }, url: requestTarget(url, text), host: "localhost", text };
}

/** `text` is what the user wrote, and `asUrl` what it means. */
function httpTarget(text: string, asUrl = text): Target {
  if (!URL.canParse(asUrl)) throw refuse(text, "is not a URL");
  const url = new URL(asUrl);
  if (url.port === "0") throw refuse(text, "has port 0, to which no client can connect");
  if (url.username || url.password) throw refuse(text, "has a user name, which would not be sent");
  return {
    address: {
      kind: "tcp",
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? 80 : Number(url.port),
    },
    url: requestTarget(url.pathname + url.search, text),
    host: url.host,
    text,
  };
}

/** A blank or a control byte in the request line would make it another request. */
function requestTarget(url: string, text: string): string {
  if (!/^\/[\x21-\x7e]*$/.test(url))
    throw refuse(text, "has a URL with blanks, control or non-ASCII characters");
  return url;
}

const refuse = (text: string, why: string) =>
  new HupwatchError("usage", `the target '${text}' ${why}`, { exitCode: 2, hint: FORMS });
