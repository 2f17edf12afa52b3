/** A deployed application: a directory with the WSGI app and the version it serves. */
import { copyFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { GUNICORNS, ROOT } from "../setup/places.ts";
import { freePort } from "./free-port.ts";
import type { Hupwatch } from "./hupwatch.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

export interface Site extends Disposable {
  /** Where the socket is, and what stays from release to release. */
  path: string;
  /** A symlink to the release that the next generation is to run: hupwatch's working directory. */
  current: string;
  /** Makes a release of its own and switches `current`, as deploy tools do: a process that runs an older one keeps all of it. */
  deploy(version: string): void;
  /** A release that fails at import; see GIVES_UP_SOON. */
  deployBroken(): void;
}

export function gunicornSite(version = "1"): Site {
  const dir = tempDir();
  const current = `${dir.path}/current`;
  let releases = 0;
  const release = (fill: (path: string) => void) => {
    const path = `${dir.path}/releases/${++releases}`;
    mkdirSync(path, { recursive: true });
    fill(path);
    switchTo(path, current);
  };
  const deploy = (next: string) => release((path) => deployTo(path, next));
  deploy(version);
  return {
    path: dir.path,
    current,
    deploy,
    deployBroken: () =>
      release((path) => writeFileSync(`${path}/wsgi.py`, "raise RuntimeError('a broken release')\n")),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** Made beside and renamed over: there is no moment without the symlink. */
export function switchTo(release: string, current: string): void {
  symlinkSync(release, `${current}.next`);
  renameSync(`${current}.next`, current);
}

/** Puts the app and its VERSION into a directory, which is made where it is not there. */
export function deployTo(path: string, version: string): void {
  mkdirSync(path, { recursive: true });
  copyFileSync(`${ROOT}/fixtures/apps/wsgi.py`, `${path}/wsgi.py`);
  writeFileSync(`${path}/VERSION`, `${version}\n`);
}

/** How many workers gunicorn() starts unless told. */
const POOL = 2;

/** Waits until every worker has imported the app: one of them is enough for the generation to be ready. */
export async function allImported(hupwatch: Hupwatch, version: string, workers = POOL): Promise<void> {
  const imported = new RegExp(`version ${version} ready \\(pid: \\d+\\)`);
  await until(() => hupwatch.count(imported) >= workers, {
    what: `${workers} workers with version ${version}`,
    context: () => hupwatch.log,
  });
}

export const WORKERS = ["sync", "gthread", "gevent"] as const;
export const TRANSPORTS = ["unix", "tcp"] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** An address for `--bind` as well as for the client. */
export const bindFor = async (transport: Transport, site: Site): Promise<string> =>
  transport === "unix" ? `unix:${site.path}/app.sock` : `127.0.0.1:${await freePort()}`;

/**
 * For a release that fails at import. Where both workers end at the same moment, gunicorn 20.1 waits all of its
 * graceful_timeout, 30 s, for one that it has waited for already (arbiter.py: reap_workers raises before it forgets it).
 */
export const GIVES_UP_SOON = ["--graceful-timeout", "5"];

export function gunicorn(
  bind: string | string[],
  options: { which?: keyof typeof GUNICORNS; worker?: (typeof WORKERS)[number]; workers?: number } = {},
): string[] {
  const { which = "debian", worker = "sync", workers = POOL } = options;
  const binds = [bind].flat().flatMap((address) => ["--bind", address]);
  // Several threads or one would do for gthread; sync and gevent ignore it.
  const threads = worker === "gthread" ? ["--threads", "4"] : [];
  const pool = ["--workers", `${workers}`, "--worker-class", worker, ...threads];
  return [GUNICORNS[which], "wsgi:application", ...binds, ...pool];
}
