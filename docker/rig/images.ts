/** Builds the targets of the Dockerfile on the base image, from nothing but what they need. */
import { docker, must } from "./command.ts";
import type { HostSettings } from "./host-settings.ts";
import { ROOT } from "./places.ts";

export type Target = "hupwatch" | "gunicorn" | "nginx" | "supervisors" | "systemd";

export const imageOf = (target: string): string => `hupwatch-rig/${target}`;

const CONTEXT = ["dist", "docker", "fixtures/apps", "fixtures/supervisors"];
/** On what is built here, so that what a newer build has replaced can be told from other people's images. */
const MARK = "hupwatch.rig.image=1";
const TIMEOUT_MS = 420_000;

/** Throws with the last lines of what the build said. */
export async function buildImage(
  target: Target,
  base: { BASE: string; SYSTEMD_BASE?: string },
  settings: HostSettings,
): Promise<void> {
  const { PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_CERT, NPM_CONFIG_REGISTRY: _, ...proxies } = settings.env;
  const args: Record<string, string | undefined> = {
    ...base,
    ...proxies,
    ...(target === "supervisors" ? { PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_CERT } : {}),
  };
  const buildArgs = Object.entries(args).flatMap(([k, v]) => (v ? ["--build-arg", `${k}=${v}`] : []));
  const words = [
    "docker",
    "build",
    "--network=host",
    "--label",
    MARK,
    "--file",
    "docker/Dockerfile",
    "--target",
    target,
  ];
  const build = [...words, ...buildArgs, "--tag", imageOf(target), "-"].map((word) => `'${word}'`).join(" ");
  // A time stamp that changes would make nothing new: Docker's cache goes by content.
  const script = `set -o pipefail; tar -C '${ROOT}' -c ${CONTEXT.join(" ")} | ${build}`;
  await must(["bash", "-c", script], { timeoutMs: TIMEOUT_MS });
}

/** Images that a newer build took the name of. */
export async function removeReplaced(): Promise<void> {
  await docker(["image", "prune", "--force", "--filter", `label=${MARK}`]);
}

/** In megabytes (10^6 bytes). */
export async function sizeOf(image: string): Promise<number> {
  return Number(await docker(["image", "inspect", "--format", "{{.Size}}", image])) / 1e6;
}
