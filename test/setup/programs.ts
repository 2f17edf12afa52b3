/**
 * The programs the tests need from the system, each with a check that tries it: a package manager's word would not
 * do, a package may be there for another python.
 */
import { existsSync } from "node:fs";
import { aptInstall, canInstall } from "./apt.ts";
import { BASH_COMPLETION, GUNICORNS, PYTHON } from "./places.ts";

interface Program {
  /** What a person reads. */
  name: string;
  /** Of Debian and Ubuntu. */
  package: string;
  works(): boolean;
}

const succeeds = (command: string[]): boolean => {
  try {
    return Bun.spawnSync(command, { stdio: ["ignore", "ignore", "ignore"] }).success;
  } catch {
    return false;
  }
};

const pythonImports = (modules: string) => () => succeeds([PYTHON, "-c", `import ${modules}`]);

const PROGRAMS: Program[] = [
  { name: "python3", package: "python3", works: () => succeeds([PYTHON, "--version"]) },
  {
    name: "python3's venv module",
    package: "python3-venv",
    works: pythonImports("venv, ensurepip"),
  },
  { name: "python3's gevent module", package: "python3-gevent", works: pythonImports("gevent") },
  {
    name: GUNICORNS.debian,
    package: "gunicorn",
    works: () => existsSync(GUNICORNS.debian) && succeeds([GUNICORNS.debian, "--version"]),
  },
  { name: "curl", package: "curl", works: () => succeeds(["curl", "--version"]) },
  { name: "zsh", package: "zsh", works: () => succeeds(["zsh", "--version"]) },
  { name: "fish", package: "fish", works: () => succeeds(["fish", "--version"]) },
  {
    name: BASH_COMPLETION,
    package: "bash-completion",
    works: () => existsSync(BASH_COMPLETION),
  },
  { name: "strace", package: "strace", works: () => succeeds(["strace", "-V"]) },
  { name: "tini", package: "tini", works: () => succeeds(["tini", "--version"]) },
  { name: "chpst", package: "runit", works: () => succeeds(["chpst", "true"]) },
  {
    name: "systemd-tmpfiles",
    package: "systemd",
    works: () => succeeds(["systemd-tmpfiles", "--version"]),
  },
  { name: "supervisord", package: "supervisor", works: () => succeeds(["supervisord", "--version"]) },
];

const missing = () => PROGRAMS.filter((program) => !program.works());

/** All of them, for a machine that has none. */
export const NEEDED_PACKAGES: readonly string[] = PROGRAMS.map((program) => program.package);

/** Installs what is missing where it may, else throws and names it. */
export function installPrograms(): void {
  const before = missing();
  if (before.length > 0 && canInstall()) aptInstall(before.map((program) => program.package));
  const after = missing();
  if (after.length === 0) return;
  const list = after.map((program) => `  ${program.name} (Debian and Ubuntu: ${program.package})`);
  const hint = `apt-get install ${after.map((program) => program.package).join(" ")}`;
  throw new Error(`the tests need what is not here:\n${list.join("\n")}\nTo fix, as root: ${hint}`);
}
