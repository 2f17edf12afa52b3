/**
 * What the relay of src/kept costs: for each request that it passes on, and for each connection that is idle. The relay is that of the
 * sources, on its own. What counts is CPU: on one core it is what decides how many requests go through, whatever else this machine does.
 */
import { existsSync, readFileSync } from "node:fs";
import { Place } from "../../fixtures/demo/place.ts";
import { count, median } from "../../fixtures/demo/text.ts";
import { relayProgram } from "../../src/intercept/programs.ts";
import { RelayLink } from "../../src/kept/relay-link.ts";
import { bind, connect, isReadable, listen, socket } from "../../src/os/libc.ts";
import { accept, limitDescriptors } from "../../src/os/libc-kept.ts";
import { allProcesses } from "../../src/os/procfs.ts";
import { encode } from "../../src/sockets/sockaddr.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";
import type { Row } from "./row.ts";
import { cpuMsOf, memoryOf } from "./scale/usage.ts";

const BUDGET = { ratio: 0.5, idleKb: 4 };
const LOOK_MS = 1;
const SETTLED_MS = 2500;
const IDLE = 10_000;

/** A relay, and a path: each connection to it is the relay's, and goes to `served`. */
class Relayed implements Disposable {
  readonly path: string;
  readonly relay = new RelayLink(relayProgram());
  readonly #listener = socket("unix");
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(
    place: Place,
    private readonly served: string,
  ) {
    this.path = `${place.path}/left.sock`;
    bind(this.#listener, encode({ family: "unix", path: this.path }));
    listen(this.#listener, 4096);
    this.#timer = setInterval(() => this.take(), LOOK_MS);
  }

  take(): void {
    const left = { path: this.served, isFresh: false, patienceMs: 600_000, isAnyPeer: false };
    const taken: { fd: number; left: typeof left }[] = [];
    while (isReadable(this.#listener)) taken.push({ fd: accept(this.#listener), left });
    if (taken.length > 0) this.relay.join(taken);
  }

  /** Undefined before the first connection. */
  get pid(): number | undefined {
    const ours = allProcesses().filter(({ ppid, state }) => ppid === process.pid && state !== "Z");
    return ours.find(({ pid }) => nameOf(pid) === "hupwatch-relay")?.pid;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.relay[Symbol.dispose]();
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "latin1").trim();
  } catch {
    return ""; // it ended meanwhile
  }
}

export async function relayed(looks: number, requests: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const server of SERVERS)
    if (Bun.which(server.words[0])) rows.push(await passingOn(server, looks, requests));
  return [...rows, ...(await idle())];
}

/** CPU of client, server and relay for one request, in microseconds. */
interface Look {
  all: number;
  relay: number;
}

interface Server {
  name: string;
  words: readonly [string, ...string[]];
}

/** The first does as little for a request as this runtime can: no app is as hard for a relay. */
const SERVERS: readonly Server[] = [
  { name: "Bun.serve, hello", words: [process.execPath, `${import.meta.dir}/load-server.ts`] },
  { name: "Node, fixtures/apps", words: ["node", `${ROOT}/fixtures/apps/node.mjs`] },
];

async function passingOn({ name, words }: Server, looks: number, requests: number): Promise<Row> {
  using place = new Place();
  const server = Bun.spawn([...words, place.socket], {
    env: place.environment(),
    stdio: ["ignore", "ignore", "ignore"],
  });
  await until(() => existsSync(place.socket), { what: `the socket of ${name}` });
  using relayed = new Relayed(place, place.socket);
  const [direct, through]: [Look[], Look[]] = [[], []];
  for (let n = 0; n < looks; n++) {
    direct.push(await look(place.socket, server.pid, undefined, requests));
    through.push(await look(relayed.path, server.pid, relayed, requests));
  }
  const of = (some: Look[], key: keyof Look) => median(some.map((one) => one[key]));
  const ratio = of(direct, "all") / of(through, "all");
  const us = (n: number) => `${n.toFixed(1)} us`;
  return {
    what: `relayed requests on one core, for each direct one (${name}; by CPU, median of ${looks})`,
    budget: `>= ${BUDGET.ratio}`,
    measured: `${ratio.toFixed(2)} (${us(of(direct, "all"))} direct, ${us(of(through, "all"))} relayed, ${us(of(through, "relay"))} of them the relay's)`,
    met: ratio >= BUDGET.ratio,
  };
}

async function look(path: string, server: number, relayed: Relayed | undefined, requests: number) {
  const client = Bun.spawn([process.execPath, `${import.meta.dir}/kept-client.ts`, path, `${requests}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = client.stdout.getReader();
  const next = async () => new TextDecoder().decode((await said.read()).value);
  const books = () => ({
    server: cpuMsOf(server),
    relay: relayed?.pid === undefined ? 0 : cpuMsOf(relayed.pid),
  });
  if ((await next()) !== "warm\n") throw new Error("the client of the relay's bench has lost a connection");
  const before = books();
  const clientMs = Number(await next());
  const after = books();
  const each = (ms: number) => (1000 * ms) / (0.8 * requests);
  const relay = each(after.relay - before.relay);
  return { relay, all: each(clientMs) + each(after.server - before.server) + relay };
}

async function idle(): Promise<Row[]> {
  using place = new Place();
  const before = limitDescriptors(undefined);
  using relayed = new Relayed(place, `${place.path}/none.sock`);
  const [one, all] = [await memoryWith(relayed, 1), await memoryWith(relayed, IDLE - 1)];
  limitDescriptors(before);
  const eachKb = (all - one) / (IDLE - 1);
  return [
    {
      what: `private memory of the relay for an idle connection, of ${count(IDLE)}`,
      budget: `<= ${BUDGET.idleKb} kB`,
      measured: `${eachKb.toFixed(1)} kB (${(one / 1024).toFixed(1)} MB with one)`,
      met: eachKb <= BUDGET.idleKb,
    },
  ];
}

/** In kB, with so many more. Their clients' ends stay open until this process ends. */
async function memoryWith(relayed: Relayed, more: number): Promise<number> {
  const address = encode({ family: "unix", path: relayed.path });
  for (let n = 0; n < more; n++) {
    connect(socket("unix", "nonblocking"), address);
    if (n % 1000 === 0) relayed.take();
  }
  relayed.take();
  await Bun.sleep(SETTLED_MS);
  return memoryOf(relayed.pid ?? 0).privateKb;
}
