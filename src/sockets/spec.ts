/** What a `--bind` says, as data. Parsing only: nothing is resolved, opened or looked at. */

import { join } from "node:path";
import { HupwatchError } from "../error.ts";
import { isIPv6 } from "./ip.ts";
import { MAX_UNIX_PATH_BYTES } from "./sockaddr.ts";

export type SpecAddress =
  | { kind: "unix"; path: string }
  | { kind: "abstract"; name: string }
  /** `host` may still be a name; "" is every IPv4 address. */
  | { kind: "tcp"; host: string; port: number }
  /** Inherited from the starter of hupwatch. */
  | { kind: "fd"; fd: number };

export interface SocketSpec {
  /** What LISTEN_FDNAMES and `{fd:NAME}` call it. */
  name: string;
  address: SpecAddress;
  /** As the user wrote it, for messages. */
  text: string;
  /** Learned, and of the moment (a debugger's port) or of a library's making (an abstract name): a new version may do without it. */
  isPassing?: boolean;
  /** Of this Unix socket alone, as its server has it; what is left out is as for all others. */
  rights?: { mode?: number; owner?: { uid: number; gid: number } } | undefined;
}

/**
 * The private listener of a generation (private-listener.ts) as servers and the command's words know it: one more socket
 * behind all others. Its path is another in each generation.
 */
export const PROBE: SocketSpec = {
  name: "hupwatch-probe",
  address: { kind: "unix", path: "" },
  text: "a private listener",
};

const isEveryIPv4 = (host: string): boolean => host === "" || host === "*" || host === "0.0.0.0";

const FORMS =
  "use unix:/path, host:port, [v6]:port, :port (IPv4), [::]:port (both families) or fd://N, with NAME= before it if it needs a name";

/** Reads one SPEC. A relative Unix path is taken from `cwd`. Throws a usage error that names the value. */
export function parseSpec(text: string, cwd: string): SocketSpec {
  const [name, rest] = splitName(text);
  const address = parseAddress(rest, cwd, text);
  return { name: name ?? defaultName(address), address, text };
}

/** Reads those of one command. Where no name was requested, those of one port or file name are counted: `port-80-2`. */
export function parseSpecs(texts: readonly string[], cwd: string): SocketSpec[] {
  const specs = texts.map((text) => parseSpec(text, cwd));
  rejectDuplicates(specs);
  const taken = new Set(specs.filter(isNamed).map((spec) => spec.name));
  return specs.map((spec) => {
    if (isNamed(spec)) return spec;
    let name = spec.name;
    for (let n = 2; taken.has(name); n++) name = `${spec.name}-${n}`;
    taken.add(name);
    return { ...spec, name };
  });
}

function splitName(text: string): [name: string | undefined, rest: string] {
  const named = /^([A-Za-z0-9_.-]+)=(.*)$/.exec(text);
  return [named?.[1], named?.[2] ?? text];
}

const isNamed = (spec: SocketSpec): boolean => splitName(spec.text)[0] !== undefined;

function parseAddress(rest: string, cwd: string, text: string): SpecAddress {
  if (rest.startsWith("unix:")) return parseUnix(rest.slice(5), cwd, text);
  const inherited = /^fd:\/\/(\d+)$/.exec(rest);
  if (inherited) return { kind: "fd", fd: Number(inherited[1]) };
  const tcp = /^(?:tcp:\/\/)?(?:\[([^\]]*)\]|([^:[\]/]*)):(\d+)$/.exec(rest);
  if (!tcp) throw invalid(text, `${meant(rest)}${FORMS}`);
  const [, v6, host = "", digits = ""] = tcp;
  const port = Number(digits);
  if (port > 65535) throw invalid(text, "a port is a number from 0 to 65535 (0 takes a free one)");
  if (v6 !== undefined && !isIPv6(v6.split("%")[0] ?? ""))
    throw invalid(text, `[${v6}] is not an IPv6 address`);
  return { kind: "tcp", host: v6 ?? host, port };
}

/** A port, a path or a URL, as other tools take them. */
function meant(rest: string): string {
  const url = /^[a-z]+:\/\/([^/]+:\d+)\/?$/.exec(rest)?.[1];
  const spec = /^\d+$/.test(rest) ? `:${rest}` : /^\.?\.?\/|\.sock$/.test(rest) ? `unix:${rest}` : url;
  return spec === undefined ? "" : `did you mean ${spec}? Else `;
}

function parseUnix(written: string, cwd: string, text: string): SpecAddress {
  if (written.startsWith("@")) {
    const name = written.slice(1);
    // An empty one would mean "any free name" to the kernel (unix(7), autobind).
    if (name === "") throw invalid(text, "an abstract socket needs a name behind the @");
    return { kind: "abstract", name: fitting(name, "name", text) };
  }
  const path = written.replace(/^\/{2,}/, "/");
  if (path === "" || path.endsWith("/")) throw invalid(text, "a Unix socket needs the path of a file");
  const absolute = path.startsWith("/") ? path : join(cwd, path);
  return { kind: "unix", path: fitting(absolute, "path", text) };
}

function fitting(value: string, what: string, text: string): string {
  const bytes = Buffer.byteLength(value);
  if (bytes <= MAX_UNIX_PATH_BYTES) return value;
  throw invalid(
    text,
    `the ${what} has ${bytes} bytes, and the kernel allows ${MAX_UNIX_PATH_BYTES} (unix(7)): choose a shorter one`,
  );
}

const invalid = (text: string, hint: string) =>
  new HupwatchError("bind.invalid", `cannot bind '${text}': not a socket that can be held`, { hint });

/** systemd's own default for an unnamed socket is "unknown"; a path or port says more in a log. */
function defaultName(address: SpecAddress): string {
  switch (address.kind) {
    case "unix":
      return (address.path.split("/").pop() ?? "unix").replace(/[^A-Za-z0-9_.-]/g, "_");
    case "abstract":
      return address.name.replace(/[^A-Za-z0-9_.-]/g, "_");
    case "tcp":
      return `port-${address.port}`;
    case "fd":
      return `fd-${address.fd}`;
  }
}

/** Two specs that were given one name could not be told apart by `{fd:NAME}`; two of one address would fight. */
function rejectDuplicates(specs: readonly SocketSpec[]): void {
  const seen = new Map<string, string>();
  for (const spec of specs) {
    const keys = isNamed(spec) ? [`name ${spec.name}`] : [];
    // Port 0 is another free port each time.
    if (spec.address.kind !== "tcp" || spec.address.port !== 0)
      keys.push(`address ${JSON.stringify(plain(spec.address))}`);
    for (const key of keys) {
      const earlier = seen.get(key);
      if (earlier !== undefined)
        throw new HupwatchError("bind.duplicate", `'${earlier}' and '${spec.text}' have the same ${key}`, {
          hint: "give each socket only once, and its own NAME= if the names clash",
        });
      seen.set(key, spec.text);
    }
  }
}

const plain = (address: SpecAddress): SpecAddress =>
  address.kind === "tcp" && isEveryIPv4(address.host) ? { ...address, host: "0.0.0.0" } : address;
