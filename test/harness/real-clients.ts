/**
 * Clients that nobody here wrote: each keeps its connections and posts, again and again, until it is stopped. Each post has an id of its
 * own, which the app notes in its ledger: an answer that is lost, and a post that is executed twice, are told from one another.
 */
import { existsSync, readFileSync } from "node:fs";
import { BUILT, ROOT, SERVERS_VENV } from "../setup/places.ts";
import { PROXIES, startFront } from "./fronts.ts";
import { tempDir } from "./temp-dir.ts";

export interface Posted {
  answered: number;
  /** By what the client calls it. */
  lost: Record<string, number>;
}

export interface Posting {
  stop(): Promise<Posted>;
}

export interface RealClient {
  name: string;
  isThere(): boolean;
  /** `bind`: of the app, `host:port` or, for a front alone, `unix:/path`. */
  start(bind: string): Posting | Promise<Posting>;
}

const CLIENTS = `${ROOT}/fixtures/clients`;
const PYTHON = `${SERVERS_VENV}/bin/python`;
const WRK_TIMEOUT_S = 60;

/** Says on stdout what became of its posts, when `signal` stops it. */
function program(words: string[], signal: NodeJS.Signals, read: (text: string) => Posted): Posting {
  const client = Bun.spawn(words, { stdio: ["ignore", "pipe", "inherit"] });
  const said = client.stdout.text();
  return {
    async stop() {
      client.kill(signal);
      const text = await said;
      const exitCode = await client.exited;
      if (text === "") throw new Error(`${words.join(" ")}: exit code ${exitCode}, and not a word`);
      return read(text);
    },
  };
}

const sayingJson = (words: string[]): Posting => program(words, "SIGTERM", JSON.parse);

interface OhaReport {
  statusCodeDistribution: Record<string, number>;
  errorDistribution: Record<string, number>;
}

function readOha(text: string): Posted {
  const { statusCodeDistribution, errorDistribution } = JSON.parse(text) as OhaReport;
  const { 200: answered = 0, ...others } = statusCodeDistribution;
  const statuses = Object.entries(others).map(([status, n]) => [`status ${status}`, n]);
  return { answered, lost: { ...errorDistribution, ...Object.fromEntries(statuses) } };
}

/** The summary that wrk ends with; a line of errors is there where there were some. */
function readWrk(text: string): Posted {
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
  const errors = /Socket errors: (.*)/.exec(text)?.[1] ?? "";
  const counts = [...errors.matchAll(/(\w+) (\d+)/g)].map(([, what, n]) => [what, Number(n)] as const);
  const status = number(/Non-2xx or 3xx responses: (\d+)/);
  const lost = [...counts, ["status", status] as const].filter(([, n]) => n > 0);
  return { answered: number(/(\d+) requests in/) - status, lost: Object.fromEntries(lost) };
}

const CHROMIUM = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  // Its page is from another server than the one that it posts to.
  ...["--disable-web-security", "--remote-debugging-port=0"],
];

function browser(url: string, name: string): Posting {
  let report: Posted | undefined;
  const pages = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (request.method === "GET") return new Response(Bun.file(`${CLIENTS}/page.html`));
      report = (await request.json()) as Posted;
      return new Response();
    },
  });
  const profile = tempDir();
  const page = `http://127.0.0.1:${pages.port}/?${new URLSearchParams({ name, url })}`;
  const chromium = Bun.spawn([CHROMIUM_PROGRAM ?? "", ...CHROMIUM, `--user-data-dir=${profile.path}`, page], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  return {
    async stop() {
      chromium.kill();
      await chromium.exited;
      await pages.stop(true);
      profile[Symbol.dispose]();
      if (!report) throw new Error("Chromium: its page has posted nothing");
      return report;
    },
  };
}

const CHROMIUM_PROGRAM = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? undefined;
const hasRequests = () =>
  existsSync(PYTHON) && Bun.spawnSync([PYTHON, "-c", "import requests"], { stderr: "ignore" }).success;

/** A front with a client before it: what it cannot answer is an error there. */
function behind(name: keyof typeof PROXIES): RealClient {
  return {
    name,
    isThere: () => existsSync(PROXIES[name].program) && Bun.which("node") !== null,
    async start(bind) {
      const front = await startFront(name, bind);
      const posting = ofNode(name, `127.0.0.1:${front.port}`);
      return {
        async stop() {
          await using _ = front;
          return await posting.stop();
        },
      };
    },
  };
}

const urlOf = (bind: string) => `http://${bind}/upload`;
const ofNode = (name: string, bind: string) =>
  sayingJson(["node", `${CLIENTS}/agent.mjs`, name, urlOf(bind)]);

export const FRONTS: readonly RealClient[] = [behind("nginx"), behind("HAProxy")];

/** Each name is the first part of its ids. */
export const REAL_CLIENTS: readonly RealClient[] = [
  {
    name: "requests.Session",
    isThere: hasRequests,
    start: (bind) => sayingJson([PYTHON, `${CLIENTS}/session.py`, "requests.Session", urlOf(bind)]),
  },
  {
    name: "http.Client",
    isThere: () => existsSync(BUILT.goClient),
    start: (bind) => sayingJson([BUILT.goClient, "http.Client", urlOf(bind)]),
  },
  {
    name: "http.Agent",
    isThere: () => Bun.which("node") !== null,
    start: (bind) => ofNode("http.Agent", bind),
  },
  {
    name: "wrk",
    isThere: () => Bun.which("wrk") !== null,
    start(bind) {
      const options = ["-t1", "-c4", "-d1h", "--timeout", `${WRK_TIMEOUT_S}s`, "-s", `${CLIENTS}/post.lua`];
      return program(["wrk", ...options, urlOf(bind), "--", "wrk"], "SIGINT", readWrk);
    },
  },
  {
    name: "Chromium",
    isThere: () => CHROMIUM_PROGRAM !== undefined,
    start: (bind) => browser(urlOf(bind), "Chromium"),
  },
  ...FRONTS,
];

/** Those of the long run: oha takes minutes to compile. It has no header of its own for each request: the ids are in its addresses. */
export const ALL_CLIENTS: readonly RealClient[] = [
  ...REAL_CLIENTS,
  {
    name: "oha",
    isThere: () => existsSync(BUILT.oha),
    start(bind) {
      const options = ["--no-tui", "--output-format", "json", "-c", "4", "-z", "1h", "-w", "-m", "POST"];
      const address = `${urlOf(bind)}\\?id=oha-[0-9]{18}`;
      return program(
        [BUILT.oha, ...options, "-d", "0123456789", "--rand-regex-url", address],
        "SIGINT",
        readOha,
      );
    },
  },
];

/** What was executed: how often each id, by the clients' names. */
export class Ledger {
  constructor(readonly path: string) {}

  #ids(): string[] {
    return existsSync(this.path) ? readFileSync(this.path, "latin1").split("\n").filter(Boolean) : [];
  }

  /** Posts that were executed. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const id of this.#ids()) {
      const name = id.slice(0, id.lastIndexOf("-"));
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  /** Ids that are there more than once. */
  twice(): string[] {
    const seen = new Set<string>();
    return this.#ids().filter((id) => seen.size === seen.add(id).size);
  }
}
