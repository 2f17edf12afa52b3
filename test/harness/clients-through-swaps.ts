/** Real clients that post on kept connections, all at once, while their server is replaced again and again. */
import { chmodSync, copyFileSync } from "node:fs";
import { GUNICORNS, ROOT } from "../setup/places.ts";
import { newest } from "../setup/server-row.ts";
import { freePort } from "./free-port.ts";
import { startHupwatch } from "./hupwatch.ts";
import { LOG } from "./log-lines.ts";
import { Ledger, type Posted, type Posting, type RealClient } from "./real-clients.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** Each client has so many posts executed by each version. */
const POSTS_OF_EACH = 5;
/** A browser starts slowly beside a busy machine. */
const POSTS_TIMEOUT_MS = 120_000;

const SERVERS = {
  uvicorn: (bind) => [
    ...[newest("uvicorn"), "asgi:application"],
    ...(bind.startsWith("unix:") ? ["--uds", bind.slice(5)] : ["--port", bind.replace(/.*:/, "")]),
  ],
  gthread: (bind) => [GUNICORNS.pypi, "wsgi:application", "-k", "gthread", "--threads", "40", "-b", bind],
  node: (bind) => ["node", "node.mjs", bind.replace(/^unix:/, "")],
} satisfies Record<string, (bind: string) => string[]>;
const APPS = ["asgi.py", "wsgi.py", "node.mjs"];
export type KeptServer = keyof typeof SERVERS;
export const KEPT_SERVERS = Object.keys(SERVERS) as KeptServer[];

export interface Through {
  clients: Record<string, Posted>;
  /** By the ledger. */
  executed: Record<string, number>;
  executedTwice: string[];
  log: string;
}

interface Course {
  server: KeptServer;
  family: "tcp" | "unix";
  clients: readonly RealClient[];
  swaps: number;
  mode?: string;
}

export async function clientsThroughSwaps(course: Course): Promise<Through> {
  const { server, family, clients, swaps, mode = "adopt" } = course;
  using place = tempDir();
  chmodSync(place.path, 0o755);
  for (const app of APPS) copyFileSync(`${ROOT}/fixtures/apps/${app}`, `${place.path}/${app}`);
  const ledger = new Ledger(`${place.path}/ledger`);
  const bind = family === "unix" ? `unix:${place.path}/app.sock` : `127.0.0.1:${await freePort()}`;
  const options = ["-k", "-v", "-w", "0", "-b", bind, "--drain-until-idle", "0", "--socket-mode", "0666"];
  await using hupwatch = await startHupwatch(
    [...options, "--kept-connections", mode, "--", ...SERVERS[server](bind)],
    { cwd: place.path, env: { VERIFY_LEDGER: ledger.path } },
  );
  const postings: [name: string, posting: Posting][] = [];
  for (const client of clients) postings.push([client.name, await client.start(bind)]);
  const allPost = (version: number) => {
    const before = ledger.counts();
    const havePosted = () => {
      const now = ledger.counts();
      return clients.every(({ name }) => (now[name] ?? 0) >= (before[name] ?? 0) + POSTS_OF_EACH);
    };
    const what = `posts of each client to version ${version}`;
    return until(havePosted, {
      ...{ timeoutMs: POSTS_TIMEOUT_MS, everyMs: 100, what },
      context: () => `${JSON.stringify(ledger.counts())}\n${hupwatch.log}`,
    });
  };
  for (let version = 1; version <= swaps; version++) {
    await allPost(version);
    hupwatch.hup();
    await hupwatch.until(LOG.gone(version), { timeoutMs: POSTS_TIMEOUT_MS });
  }
  await allPost(swaps + 1);
  const posted = await Promise.all(
    postings.map(async ([name, posting]) => [name, await posting.stop()] as const),
  );
  return {
    clients: Object.fromEntries(posted),
    executed: ledger.counts(),
    executedTwice: ledger.twice(),
    log: hupwatch.log,
  };
}
