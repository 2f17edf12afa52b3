/**
 * The servers of the contract suite, as far as they are quickly had: one go at the package manager and one at PyPI. Nothing
 * here is needed by anybody else, so what cannot be had is skipped by the suite and not an error.
 */
import { existsSync, mkdirSync } from "node:fs";
import { CACHE, PYTHON } from "./places.ts";
import { SERVERS_VENV } from "./servers.ts";

/** Of Debian and Ubuntu. Only what starts nothing when it is installed: nginx and HAProxy would take ports. */
const PACKAGES: Record<string, string> = {
  "/usr/bin/uwsgi": "uwsgi-core uwsgi-plugin-python3",
  "/usr/bin/uvicorn": "uvicorn",
  "/usr/bin/hypercorn": "python3-hypercorn",
  "/usr/bin/daphne": "daphne",
  "/usr/bin/waitress-serve": "python3-waitress",
  "/usr/bin/puma": "puma",
};
/** The newest of each. */
const DISTRIBUTIONS = ["uvicorn", "hypercorn", "daphne", "granian", "waitress", "cheroot"];
const TIME_LIMIT_MS = 120_000;

export function installServers(): void {
  const packages = Object.entries(PACKAGES).flatMap(([program, names]) =>
    existsSync(program) ? [] : names.split(" "),
  );
  if (packages.length > 0 && process.getuid?.() === 0 && Bun.which("apt-get"))
    tryTo("apt-get", "--yes", "--quiet", "--no-install-recommends", "install", ...packages);
  const missing = DISTRIBUTIONS.filter((name) => !existsSync(`${SERVERS_VENV}/lib`) || !isThere(name));
  if (missing.length === 0) return;
  mkdirSync(CACHE, { recursive: true });
  if (!existsSync(`${SERVERS_VENV}/bin/python`)) tryTo(PYTHON, "-m", "venv", SERVERS_VENV);
  tryTo(`${SERVERS_VENV}/bin/python`, "-m", "pip", "install", "--quiet", "--prefer-binary", ...missing);
}

const isThere = (name: string): boolean =>
  Bun.spawnSync([`${SERVERS_VENV}/bin/python`, "-c", `import ${name}`], { stderr: "ignore" }).success;

function tryTo(...command: string[]): void {
  console.log(`setup: ${command.join(" ")}`);
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const done = Bun.spawnSync(command, {
      env,
      stdio: ["ignore", "ignore", "inherit"],
      timeout: TIME_LIMIT_MS,
    });
    if (!done.success)
      console.log("setup: that did not work; its servers are left out of the contract suite");
  } catch {
    console.log(`setup: there is no ${command[0]}; its servers are left out of the contract suite`);
  }
}
