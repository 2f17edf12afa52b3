/**
 * What makes this host reach its package mirrors, carried into the images: the certificates it trusts, and what apt, pip
 * and npm were told. Found out at run time; nothing here knows any machine.
 */
import { existsSync, readFileSync } from "node:fs";
import { run } from "./command.ts";

const BUNDLE = "/etc/ssl/certs/ca-certificates.crt";

export interface HostSettings {
  /** The host's certificates, where Debian's place for them has any. */
  certificates: string | undefined;
  /** A file for /etc/apt/apt.conf.d. */
  apt: string;
  /** For `docker build --build-arg`, and for programs in containers. */
  env: Record<string, string>;
}

export async function hostSettings(): Promise<HostSettings> {
  const [apt, pip, npm] = await Promise.all([
    run(["apt-config", "dump"]).catch(() => undefined),
    run(["python3", "-m", "pip", "config", "list"]).catch(() => undefined),
    run(["npm", "config", "get", "registry"]).catch(() => undefined),
  ]);
  return {
    certificates: existsSync(BUNDLE) ? readFileSync(BUNDLE, "utf8") : undefined,
    apt: aptSettings(apt?.stdout ?? ""),
    env: {
      ...proxies(process.env),
      ...pipSettings(pip?.stdout ?? ""),
      ...(npm?.code === 0 ? { NPM_CONFIG_REGISTRY: npm.stdout.trim() } : {}),
    },
  };
}

/** Of `apt-config dump`: proxies, and checks that a mirror of old snapshots needs to be without. No paths of the host. */
export function aptSettings(dump: string): string {
  const wanted = /^Acquire::(https?::Proxy(::\S+)?|Check-Valid-Until|Check-Date|Retries|ForceIPv4) "[^"]*";$/;
  const lines = dump.split("\n").filter((line) => wanted.test(line) && !line.endsWith(' "";'));
  return lines.map((line) => `${line}\n`).join("");
}

/** Of `pip config list`: where packages come from. The bundle of certificates is at the same place in the image. */
export function pipSettings(list: string): Record<string, string> {
  const names = { "index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL" };
  const found: Record<string, string> = { PIP_CERT: BUNDLE };
  for (const [, key = "", value = ""] of list.matchAll(/^(?:global|user|:env:)\.(\S+)='(.*)'$/gm))
    if (key in names) found[names[key as keyof typeof names]] = value;
  return found;
}

function proxies(env: Record<string, string | undefined>): Record<string, string> {
  const names = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}
