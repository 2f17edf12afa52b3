/** Where the programs are that the tests drive. Setup puts them there, tests find them there. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

/** A path, or the name of a program on PATH. */
export const isThere = (program: string): boolean =>
  program.includes("/") ? existsSync(program) : Bun.which(program) !== null;

/** What setup makes and may be thrown away at any time; git ignores it. */
export const CACHE = `${ROOT}/.cache`;

/** Debian's own, by its full path: a pyenv python in front of it in the PATH does not have Debian's packages. */
export const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

/** Debian's: bash has no completion of its own for commands that it does not know. */
export const BASH_COMPLETION = "/usr/share/bash-completion/bash_completion";

/** The newest servers of PyPI. */
export const SERVERS_VENV = `${CACHE}/servers`;

/** Of PyPI. */
export const KUBERNETES_VALIDATE = `${SERVERS_VENV}/bin/kubernetes-validate`;

/** Of PyPI, where the machine has none or an old one. */
const PYPI_GO = `${SERVERS_VENV}/bin/go`;

/** One that gets a newer toolchain by itself where a module wants one, as Go does since 1.21; undefined where there is none. */
export function go(): string | undefined {
  return [Bun.which("go"), PYPI_GO].find((program): program is string => {
    if (program === null || !existsSync(program)) return false;
    const [, minor] = /go1\.(\d+)/.exec(`${Bun.spawnSync([program, "version"]).stdout}`) ?? [];
    return Number(minor) >= 21;
  });
}

export const VENV = `${CACHE}/pypi`;

/** The gunicorns that are tested: the distribution's, and the newest of PyPI. */
export const GUNICORNS = {
  debian: "/usr/bin/gunicorn",
  pypi: `${VENV}/bin/gunicorn`,
} as const;

/** What test/setup/build-servers.ts makes. */
export const BUILT = {
  deno: `${CACHE}/deno/node_modules/@deno/linux-${process.arch}-glibc/deno`,
  go: `${CACHE}/go/server`,
  goClient: `${CACHE}/go/client`,
  rust: `${CACHE}/rust/target/release/server`,
  oha: `${CACHE}/oha/bin/oha`,
  caddy: `${CACHE}/caddy/caddy`,
  next: `${CACHE}/next/node_modules/.bin/next`,
  /** A folder of classes, and of the archives that they need. */
  jvm: `${CACHE}/maven/target/classes`,
} as const;
