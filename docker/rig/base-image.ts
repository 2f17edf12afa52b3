/**
 * The image that all others start from: Debian's slim image by pull, or the same made by debootstrap where no registry
 * answers; on it the host's certificates and apt settings. Cached in the engine until those change.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { aptInstall, canInstall } from "../../test/setup/apt.ts";
import { docker, must, run } from "./command.ts";
import type { HostSettings } from "./host-settings.ts";
import { tarOf } from "./tar.ts";

export type Release = "bookworm" | "trixie";

export interface BaseImage {
  tag: string;
  /** For people: pulled, made, cached. */
  how: string;
}

const MIRROR = process.env.RIG_DEBIAN_MIRROR ?? "http://deb.debian.org/debian";
const WAY = "hupwatch.rig.way";
const SETTINGS = "hupwatch.rig.settings";
const PULL_TIMEOUT_MS = 90_000;
/** Two minutes on a machine that does nothing else. */
const BOOTSTRAP_TIMEOUT_MS = 1_200_000;

export async function baseImage(
  release: Release,
  settings: HostSettings,
  say: (line: string) => void,
): Promise<BaseImage> {
  const tag = `hupwatch-rig/base:${release}`;
  const fingerprint = Bun.hash(JSON.stringify([settings.certificates, settings.apt, 1])).toString(36);
  const format = `{{index .Config.Labels "${WAY}"}} {{index .Config.Labels "${SETTINGS}"}}`;
  const cached = await run(["docker", "image", "inspect", "--format", format, tag]);
  const [way, known] = cached.stdout.trim().split(" ");
  if (cached.code === 0 && known === fingerprint) return { tag, how: `${way}, cached` };

  const raw = await plainImage(release, say);
  const labels = [`${WAY}=${raw.way}`, `${SETTINGS}=${fingerprint}`].flatMap((l) => ["--label", l]);
  const context = await tarOf({
    Dockerfile: `FROM ${raw.tag}\nCOPY root/ /\n`,
    "root/etc/apt/apt.conf.d/99host": settings.apt,
    ...(settings.certificates === undefined
      ? {}
      : { "root/etc/ssl/certs/ca-certificates.crt": settings.certificates }),
  });
  await docker(["build", "--tag", tag, ...labels, "-"], { input: context, timeoutMs: 120_000 });
  return { tag, how: raw.way };
}

async function plainImage(
  release: Release,
  say: (line: string) => void,
): Promise<{ tag: string; way: string }> {
  const official = `debian:${release}-slim`;
  const pulled = await run(["docker", "pull", "--quiet", official], { timeoutMs: PULL_TIMEOUT_MS });
  if (pulled.code === 0) return { tag: official, way: "pulled" };
  say(`${official} cannot be pulled (${pulled.stderr.trim().split("\n").at(-1)})`);
  const tag = `hupwatch-rig/debootstrap:${release}`;
  const made = await run(["docker", "image", "inspect", tag]);
  if (made.code !== 0) await bootstrap(release, tag, say);
  return { tag, way: "debootstrap" };
}

/** What the slim image has not either. */
const LEFT_OUT = ["usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*"];

async function bootstrap(release: Release, tag: string, say: (line: string) => void): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error("debootstrap needs root\nTo fix: run this as root, or let the engine reach a registry");
  if (!Bun.which("debootstrap") && !(canInstall() && aptInstall(["debootstrap"])))
    throw new Error(
      "debootstrap cannot be installed\nTo fix: install it, or let the engine reach a registry",
    );
  say(`makes ${tag} by debootstrap, some minutes, once`);
  const root = mkdtempSync(`${tmpdir()}/hupwatch-rig-`);
  try {
    await must(["debootstrap", "--variant=minbase", "--include=ca-certificates", release, root, MIRROR], {
      timeoutMs: BOOTSTRAP_TIMEOUT_MS,
    });
    const excludes = [...LEFT_OUT, "var/cache/apt/archives/*", "var/lib/apt/lists/*", "dev/*"];
    const tar = ["tar", "-C", root, ...excludes.map((path) => `--exclude=./${path}`), "-c", "."];
    const script = `${tar.map((word) => `'${word}'`).join(" ")} | docker import - ${tag}`;
    await must(["sh", "-c", script], { timeoutMs: 300_000 });
  } finally {
    // One that did not come to its end leaves it mounted, and then nothing can be removed.
    await run(["umount", `${root}/proc`]);
    rmSync(root, { recursive: true, force: true });
  }
}
