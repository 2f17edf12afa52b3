/** Gets the rivals where they are to be had: PyPI, npm, Debian. What is not there afterwards is named in the table. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { aptInstall, available, canInstall } from "../../setup/apt.ts";
import { CACHE, PYTHON } from "../../setup/places.ts";

const HOME = `${CACHE}/rivals`;
const TIME_LIMIT_MS = 200_000;

/** The 2016 hupwatch has the name that the newer one has: by its full path. */
export const PYPI = {
  hupwatch: `${HOME}/bin/hupwatch`,
  circusd: `${HOME}/bin/circusd`,
  circusctl: `${HOME}/bin/circusctl`,
} as const;
export const PM2 = `${HOME}/node/node_modules/.bin/pm2`;
export const START_SERVER = "/usr/bin/start_server";
/** Of RubyGems alone. */
export const EINHORN = "einhorn";

/** The first hupwatch, of 2016: small, and the one that `bun run test` has beside today's. */
export function installFirst(): void {
  if (!existsSync(PYPI.hupwatch)) pip("hupwatch==0.0.3");
}

export function installAll(): void {
  installFirst();
  if (!existsSync(PYPI.circusd)) pip("circus");
  if (!existsSync(PM2)) npm("pm2");
  const packages = existsSync(START_SERVER) ? [] : available(["libserver-starter-perl"]);
  if (packages.length > 0 && canInstall()) aptInstall(packages);
  if (Bun.which(EINHORN) === null && Bun.which("gem")) tryTo("gem", "install", "--no-document", EINHORN);
}

function pip(requirement: string): void {
  mkdirSync(HOME, { recursive: true });
  if (!existsSync(`${HOME}/bin/python`)) tryTo(PYTHON, "-m", "venv", HOME);
  tryTo(`${HOME}/bin/python`, "-m", "pip", "install", "--quiet", "--prefer-binary", requirement);
}

function npm(name: string): void {
  mkdirSync(`${HOME}/node`, { recursive: true });
  // Without a package.json of its own it would be added to the project's.
  writeFileSync(`${HOME}/node/package.json`, '{ "private": true }\n');
  tryTo("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", `${HOME}/node`, name);
}

function tryTo(...command: string[]): void {
  console.log(`setup: ${command.join(" ")}`);
  const done = Bun.spawnSync(command, {
    stdio: ["ignore", "ignore", "ignore"],
    cwd: "/",
    timeout: TIME_LIMIT_MS,
  });
  if (!done.success) console.log("setup: that did not work");
}
