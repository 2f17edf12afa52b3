/**
 * Random clients of the relay, before a real server (Node's) that is replaced again and again: each answer is the right one, byte for byte,
 * nothing is executed twice, and no body is executed as a request. `SEED=N` plays a run again.
 */
import { expect, test } from "bun:test";
import { setTimeout as after } from "node:timers/promises";
import { relayProgram } from "../../src/intercept/programs.ts";
import { RelayLink } from "../../src/kept/relay-link.ts";
import { bind, close, listen, socket } from "../../src/os/libc.ts";
import { accept } from "../../src/os/libc-kept.ts";
import { encode } from "../../src/sockets/sockaddr.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";
import { Random } from "../swap/random.ts";
import { type Course, RandomClient } from "./random-client.ts";

const CONNECTIONS = 40;
const REQUESTS_MAX = 12;
const MOVES = 8;
const TIMEOUT_MS = 60_000;

class Server implements AsyncDisposable {
  readonly executed: string[] = [];
  #served = 0;
  readonly #process;
  readonly #reading: Promise<void>;

  constructor(path: string) {
    this.#process = Bun.spawn(["node", `${ROOT}/fixtures/children/generations.mjs`, path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#reading = this.#read(this.#process.stdout);
  }

  async #read(stdout: ReadableStream<Uint8Array>): Promise<void> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of stdout) {
      const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const [word, what = ""] = line.split(" ");
        if (word === "serves") this.#served = Number(what);
        else this.executed.push(word === "executed" ? what : line);
      }
    }
  }

  #tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
    this.#process.stdin.flush();
  }

  async next(number: number): Promise<void> {
    this.#tell("next");
    await until(() => this.#served === number, { what: `generation ${number}` });
  }

  stop(number: number): void {
    this.#tell(`stop ${number}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
    await this.#reading;
  }
}

test.skipIf(Bun.which("node") === null)(
  "random clients, while their server is replaced again and again (needs node)",
  async () => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`SEED=${seed}`);
    const random = new Random(seed);
    using place = tempDir();
    using relay = new RelayLink(relayProgram());
    const [path, left] = [`${place.path}/served.sock`, `${place.path}/left.sock`];
    await using server = new Server(path);
    await server.next(1);
    const listener = socket("unix");
    bind(listener, encode({ family: "unix", path: left }));
    listen(listener, CONNECTIONS);
    const course: Course = { faults: [], lost: [], served: 0, restlessness: 1 };
    const clients = Array.from(
      { length: CONNECTIONS },
      (_, i) => new RandomClient({ path: left }, new Random(seed + i), `c${i}`, course),
    );
    const how = { path, isFresh: false, patienceMs: TIMEOUT_MS, isAnyPeer: false };
    relay.join(clients.map(() => ({ fd: accept(listener), left: how })));
    close(listener);

    const runs = Promise.all(clients.map((client) => client.run((requests) => requests >= REQUESTS_MAX)));
    for (let number = 2; number <= MOVES + 1; number++) {
      await after(random.below(80));
      await server.next(number);
      await new Promise<void>((done) => relay.move(done));
      course.served = number;
      server.stop(number - 1);
    }
    await runs;
    const { faults, lost } = course;
    expect({ seed, faults, lost }).toEqual({ seed, faults: [], lost: [] });
    const twice = server.executed.filter((id, i) => server.executed.indexOf(id) !== i);
    expect({ seed, twice }).toEqual({ seed, twice: [] });
    expect(server.executed).not.toContain("evil");
    expect(server.executed.length).toBeGreaterThan(CONNECTIONS);
  },
  TIMEOUT_MS,
);
