/**
 * One host of the fleet: a network, processes, a /srv and a /run of its own; the rest of its file system is this machine's. What runs
 * in it, the engine says.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename } from "node:path";
import type { StatusAnswer } from "../../../src/control/protocol.ts";
import { until } from "../../../test/harness/until.ts";
import { must, run } from "../command.ts";
import { ROOT } from "../places.ts";
import type { Engine } from "./engine.ts";
import { addressOf, type Namespace, plugIn, pullOut, startNamespace } from "./network.ts";
import { SPOILT } from "./release.ts";

const SRV = "/srv";
/** In a host; hupwatch and its python are found by it. */
export const PATH = `${SRV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
const BOOT_TIMEOUT_MS = 60_000;
const ASK =
  "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())";

/** What one look at a host finds. */
export interface Seen {
  name: string;
  /** The release that the link leads to, and the one that answers. */
  linked: string;
  serves: string;
  swapped: number;
  rolledBack: number;
  /** The releases that are there. */
  releases: string[];
}

export interface Host extends AsyncDisposable {
  name: string;
  address: string;
  /** Until it answers. */
  untilServes(): Promise<void>;
  look(): Promise<Seen>;
  /** From now on a release fails here that breaks where this file is. */
  spoil(): void;
  /** Where its link leads. */
  linked(): string;
  /** It loses its power. Returns when that was, in milliseconds since 1970: nothing reaches it that was sent later. */
  die(): Promise<number>;
}

/** Its processes run; what it serves, it may still have to be told. */
export async function startHost(
  number: number,
  middle: Namespace,
  place: string,
  equip: Engine["equip"],
): Promise<Host> {
  const directory = `${place}/host${number}`;
  const app = `${directory}/app`;
  mkdirSync(`${app}/releases`, { recursive: true });
  await must(["tar", "-C", `${app}/releases`, "-xzf", `${place}/releases/1.tar.gz`]);
  symlinkSync("releases/1", `${app}/current`);
  mkdirSync(`${directory}/bin`);
  symlinkSync(`${ROOT}/src/launcher.sh`, `${directory}/bin/hupwatch`);
  const script = [
    ...["mount -t tmpfs tmpfs /run", `mount --bind ${directory} ${SRV}`, `hostname host${number}`],
    equip({ number, files: directory }),
  ].join("; ");
  const env = { PATH, HUPWATCH_BUN: process.execPath, HOME: directory, XDG_RUNTIME_DIR: "/run" };
  const namespace = await startNamespace(script, env, `${directory}/first.log`);
  try {
    await plugIn(middle, namespace, number);
    return new FleetHost(number, middle, namespace, directory, env);
  } catch (error) {
    await namespace[Symbol.asyncDispose]();
    throw error;
  }
}

class FleetHost implements Host {
  readonly name: string;
  readonly address: string;

  constructor(
    private readonly number: number,
    private readonly middle: Namespace,
    private readonly namespace: Namespace,
    private readonly directory: string,
    private readonly env: Record<string, string>,
  ) {
    this.name = `host${number}`;
    this.address = addressOf(number);
  }

  async untilServes(): Promise<void> {
    await until(() => this.#serves(), {
      what: `${this.name} to serve`,
      timeoutMs: BOOT_TIMEOUT_MS,
      everyMs: 200,
      context: () => this.#log(),
    });
  }

  /** The release that answers at its address; empty where none does. */
  async #serves(): Promise<string> {
    const url = `http://${this.address}:8000/version`;
    const asked = await run(this.middle.inside(["python3", "-c", ASK, url]));
    return asked.code === 0 ? asked.stdout.trim() : "";
  }

  async #status(): Promise<StatusAnswer> {
    const words = this.namespace.within([`${SRV}/bin/hupwatch`, "status", "--json"]);
    const answer = JSON.parse(await must(words, { env: this.env }));
    return Array.isArray(answer) ? answer[0] : answer;
  }

  async look(): Promise<Seen> {
    const app = `${this.directory}/app`;
    const { swapped, rolledBack } = (await this.#status()).counts;
    return {
      name: this.name,
      linked: this.linked(),
      serves: await this.#serves(),
      swapped,
      rolledBack,
      releases: readdirSync(`${app}/releases`).sort(),
    };
  }

  linked(): string {
    return basename(readlinkSync(`${this.directory}/app/current`));
  }

  spoil(): void {
    writeFileSync(`${this.directory}/${SPOILT.slice(SRV.length)}`, "");
  }

  async die(): Promise<number> {
    await pullOut(this.middle, this.number);
    const atMs = Date.now();
    await this.namespace[Symbol.asyncDispose]();
    return atMs;
  }

  #log(): string {
    const files = [...new Bun.Glob("**/*.log").scanSync(this.directory)].map(
      (name) => `${this.directory}/${name}`,
    );
    return files.map((file) => (existsSync(file) ? readFileSync(file, "utf8") : "")).join("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.namespace[Symbol.asyncDispose]();
  }
}
