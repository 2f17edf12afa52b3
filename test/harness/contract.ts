/**
 * What clients see of a server's swaps below hupwatch: one real server, one transport, one cutover, under fresh, kept, posting
 * and slow connections at once. Used by the contract suite and by the table in the README.
 */
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { ROOT } from "../setup/places.ts";
import type { Place, ServerRow, Transport } from "../setup/server-row.ts";
import { Client, type ClientOptions } from "./client.ts";
import { freePort } from "./free-port.ts";
import { type Hupwatch, startHupwatch } from "./hupwatch.ts";
import type { LoadReport } from "./tally.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

export interface Wanted {
  server: ServerRow;
  transport: Transport;
  cutover: "steer" | "share";
  swaps: number;
  /** As many fresh connections as it answers, or a few on a schedule. */
  load: "closed loops" | "light";
  /** As --drain-until-idle has it. */
  drainUntilIdle: string;
  /** As --kept-connections has it, whose default holds where it is left out. */
  keptConnections?: string;
}

export interface Seen {
  /** Requests on fresh connections, uploads and slow ones included. */
  sent: number;
  /** Lost on connections of their own; without slow requests that were cut. */
  dropped: Record<string, number>;
  /** Slow requests that were cut. */
  cut: Record<string, number>;
  slow: number;
  /** Kept connections that were closed instead of answering. */
  races: Record<string, number>;
  /** Lost on a kept connection in any other way, its first request included. */
  keptOtherwise: Record<string, number>;
  kept: number;
  wentBack: number;
  /** The slowest answer on a fresh connection, slow requests aside. */
  slowestMs: number;
  log: string;
}

/** Longer than warm-up and settle time: in flight when the stop signal comes. */
const SLOW_MS = 1000;
const WARM_UP = "0.5";

export async function measure(wanted: Wanted): Promise<Seen> {
  const { server, transport, swaps } = wanted;
  using dir = tempDir();
  const place = await placeIn(dir.path, transport);
  await server.deploy?.(place, "1");
  const own = server.options?.(place) ?? [];
  const { cutover, drainUntilIdle, keptConnections } = wanted;
  const kept = keptConnections === undefined ? [] : ["--kept-connections", keptConnections];
  const options = [
    "-k",
    "-w",
    WARM_UP,
    "--cutover",
    cutover,
    "--drain-until-idle",
    drainUntilIdle,
    ...kept,
    ...own,
  ];
  await using hupwatch = await startHupwatch([...options, "--", ...server.command(place)], {
    cwd: place.directory,
    env: server.env ?? {},
  });
  await using front = await startFront(server, place);
  const target = front?.at ?? (transport === "unix" ? `unix:${place.at}` : place.at);
  // A first start has nobody to protect, and one that sleeps before it listens is not taken for a failure.
  await until(() => accepts(target), { what: `${server.name} to accept at ${target}` });
  const clients = startClients(target, wanted);
  try {
    await underLoad(clients, 20);
    for (let version = 2; version <= swaps + 1; version++) {
      await server.deploy?.(place, `${version}`);
      await hupwatch.swap(version);
      await until(() => clients.fresh.report.versions[version], {
        what: `an answer of version ${version}`,
        context: () => JSON.stringify(clients.fresh.report) + hupwatch.log,
      });
    }
    await underLoad(clients, 20);
  } finally {
    await Promise.all(Object.values(clients).map((client) => client.stop()));
  }
  await endAll(hupwatch);
  return judge(clients, hupwatch.log);
}

export async function placeIn(directory: string, transport: Transport): Promise<Place> {
  mkdirSync(`${directory}/site`);
  const site = `${directory}/site`;
  for (const folder of [`${ROOT}/fixtures/apps`, `${ROOT}/fixtures/apps/java`])
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isFile() && !entry.name.endsWith(".md"))
        copyFileSync(`${folder}/${entry.name}`, `${site}/${entry.name}`);
  const at = transport === "unix" ? `${site}/app.sock` : `127.0.0.1:${await freePort()}`;
  return { directory: site, transport, at };
}

/** The proxy before a server that speaks no HTTP; it stays while generations come and go. */
async function startFront(server: ServerRow, place: Place): Promise<Front | undefined> {
  if (!server.front) return undefined;
  const at = `127.0.0.1:${await freePort()}`;
  const child = Bun.spawn(await server.front(place, at), { stdio: ["ignore", "ignore", "inherit"] });
  const front: Front = {
    at,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
  await until(() => accepts(at), { what: `${server.name} to accept at ${at}` });
  return front;
}

interface Front extends AsyncDisposable {
  at: string;
}

/** `target` is a client's. */
const accepts = (target: string): Promise<boolean> =>
  new Promise((done) => {
    const [host = "", port] = target.split(":");
    const place = host === "unix" ? { path: target.slice("unix:".length) } : { host, port: Number(port) };
    const socket = connect(place, () => done(true));
    socket.on("connect", () => socket.destroy());
    socket.on("error", () => done(false));
  });

type Clients = Record<"fresh" | "kept", Client> & Partial<Record<"post" | "slow", Client>>;

/** Loops without a pause would mostly heat the machine: under a light load it is the server that waits. */
const LIGHT = { path: "/slow?ms=15", concurrency: 2 };
const LIGHT_PLAIN = { rate: 100 };

function startClients(target: string, { server, load }: Wanted): Clients {
  const light = load === "light";
  const paced = light && !server.plain ? LIGHT : {};
  const start = (options: Omit<ClientOptions, "target">) => {
    const client = new Client({ target, timeoutMs: 15_000, ...options });
    client.start();
    return client;
  };
  const clients: Clients = {
    fresh: start({ mode: "fresh", concurrency: 3, ...paced, ...(light && server.plain ? LIGHT_PLAIN : {}) }),
    kept: start({ mode: "keep-alive", concurrency: 2, ...paced }),
  };
  if (server.plain) return clients;
  return {
    ...clients,
    post: start({ mode: "post", ...(light ? { rate: 20, bodyBytes: 8192 } : { concurrency: 1 }) }),
    slow: start({ mode: "fresh", path: `/slow?ms=${SLOW_MS}`, concurrency: 2 }),
  };
}

async function underLoad({ fresh }: Clients, answers: number): Promise<void> {
  const wanted = fresh.report.ok + answers;
  await until(() => fresh.report.ok >= wanted, { what: `${answers} more answers` });
}

async function endAll(hupwatch: Hupwatch): Promise<void> {
  hupwatch.signal("SIGTERM");
  const code = await hupwatch.exited;
  if (code !== 0) throw new Error(`hupwatch ended with ${code}\n${hupwatch.log}`);
  await hupwatch.assertTreeGone();
}

function judge({ fresh, kept, post, slow }: Clients, log: string): Seen {
  const one = [fresh.report, ...(post ? [post.report] : [])];
  const isRace = (what: string) => what.endsWith("(reused)") && what.startsWith("first-byte");
  const slowFailures = slow?.report.failures ?? {};
  // A slow request that did not even get through to the server is a drop like any other.
  const unreached = pick(slowFailures, (what) => what.startsWith("connect"));
  return {
    sent: sum(one, (r) => r.sent) + (slow?.report.sent ?? 0),
    dropped: merge(...one.map((r) => r.failures), unreached),
    cut: pick(slowFailures, (what) => !what.startsWith("connect")),
    slow: slow?.report.sent ?? 0,
    races: pick(kept.report.failures, isRace),
    keptOtherwise: pick(kept.report.failures, (what) => !isRace(what)),
    kept: kept.report.sent,
    wentBack: sum([...one, ...(slow ? [slow.report] : [])], (r) => r.wentBack),
    slowestMs: Math.max(...one.map((r) => r.slowestMs)),
    log,
  };
}

const sum = (reports: LoadReport[], of: (r: LoadReport) => number) =>
  reports.reduce((total, report) => total + of(report), 0);

const pick = (failures: Record<string, number>, which: (what: string) => boolean) =>
  Object.fromEntries(Object.entries(failures).filter(([what]) => which(what)));

function merge(...all: Record<string, number>[]): Record<string, number> {
  const merged: Record<string, number> = {};
  for (const failures of all)
    for (const [what, count] of Object.entries(failures)) merged[what] = (merged[what] ?? 0) + count;
  return merged;
}
