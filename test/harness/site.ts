/** A deployed application: a directory with the WSGI app and the version it serves. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { GUNICORNS, ROOT } from "../setup/places.ts";
import type { Hupwatch } from "./hupwatch.ts";
import { freePort, tempDir, until } from "./until.ts";

export interface Site extends Disposable {
  path: string;
  /** What the next generation is to serve. */
  deploy(version: string): void;
  /** What the next generation is to fail with at import. */
  deployBroken(): void;
}

export function gunicornSite(version = "1"): Site {
  const dir = tempDir();
  deployTo(dir.path, version);
  return {
    path: dir.path,
    deploy: (next) => deployTo(dir.path, next),
    deployBroken: () => writeFileSync(`${dir.path}/wsgi.py`, "raise RuntimeError('a broken release')\n"),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

/** Puts the app and its VERSION into a directory, which is made where it is not there. */
export function deployTo(path: string, version: string): void {
  mkdirSync(path, { recursive: true });
  copyFileSync(`${ROOT}/fixtures/apps/wsgi.py`, `${path}/wsgi.py`);
  writeFileSync(`${path}/VERSION`, `${version}\n`);
}

/** How many workers gunicorn() starts unless told. */
const POOL = 2;

/** Waits until every worker has imported the app: one that is late would read the VERSION of the next deployment. */
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
