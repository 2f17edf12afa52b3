/** Where the programs are that the tests drive. Setup puts them there, tests find them there. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

/** What setup makes and may be thrown away at any time; git ignores it. */
export const CACHE = `${ROOT}/.cache`;

/** Debian's own, by its full path: a pyenv python in front of it in the PATH does not have Debian's packages. */
export const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

/** Debian's: bash has no completion of its own for commands that it does not know. */
export const BASH_COMPLETION = "/usr/share/bash-completion/bash_completion";

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
  rust: `${CACHE}/rust/target/release/server`,
  caddy: `${CACHE}/caddy/caddy`,
} as const;
