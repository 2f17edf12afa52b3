/** Whatever fails, or ends, while the connections of a generation that stops are taken: it is told as gone, and left as it was. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { keptConnections } from "../../src/cli/kept-connections.ts";
import { relayProgram } from "../../src/intercept/programs.ts";
import { Adoption, type Surroundings } from "../../src/kept/adoption.ts";
import { OwnLimit } from "../../src/kept/own-limit.ts";
import { RelayLink } from "../../src/kept/relay-link.ts";
import { hearOfBugs } from "../../src/os/aid.ts";
import type { Clock } from "../../src/os/clock.ts";
import { connectionsOf } from "../../src/os/connections.ts";
import type { KeepingOwner } from "../../src/os/keeping.ts";
import { bind, close, getsockname, listen, socket } from "../../src/os/libc.ts";
import { HELD_MARK, lowWater, unreadBytes } from "../../src/os/libc-kept.ts";
import { realOs } from "../../src/os/os.ts";
import { wakeConnections } from "../../src/os/wake.ts";
import type { RunPlan } from "../../src/plan/run-plan.ts";
import { decode, encode } from "../../src/sockets/sockaddr.ts";
import { until } from "../harness/until.ts";
import { ROOT } from "../setup/places.ts";

const LOOPBACK = { family: "inet", host: "127.0.0.1", port: 0 } as const;
/** Answers what comes on one connection, and ends by TERM. */
const SERVER = `
import select, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
c, _ = socket.socket(fileno=0).accept()
c.setblocking(False)
poll = select.poll()
poll.register(c, select.POLLIN)
while poll.poll() and c.recv(4096): c.send(b"answer")
`;

class Service implements AsyncDisposable {
  readonly relay = new RelayLink({ ...relayProgram(), words: ["/there/is/no/relay"] });
  readonly place: { hostBytes: Uint8Array; port: number };
  readonly server: Bun.Subprocess;
  readonly client;
  #answers = 0;
  isOver = false;

  constructor() {
    const listener = socket("inet");
    bind(listener, encode(LOOPBACK));
    listen(listener, 1);
    const { port } = decode(getsockname(listener)) as { port: number };
    this.place = { hostBytes: new Uint8Array([127, 0, 0, 1]), port };
    this.server = Bun.spawn(["python3", "-c", SERVER], { stdio: [listener, "ignore", "inherit"] });
    close(listener);
    this.client = connect(port, "127.0.0.1");
    this.client.on("error", () => {});
    this.client.on("close", () => {
      this.isOver = true;
    });
    this.client.on("data", () => {
      this.#answers += 1;
    });
  }

  /** A request, and what makes its server answer it. */
  async ask(meanwhile = () => {}): Promise<void> {
    const before = this.#answers;
    this.client.write("request");
    meanwhile();
    await until(() => this.#answers > before, { what: "an answer" });
  }

  get owner(): KeepingOwner {
    const processes = { leader: undefined, pids: () => [this.server.pid], isKilled: false };
    return { generation: 1, processes, ways: [{ place: this.place, path: undefined }], isHttp: true };
  }

  /** Of the server's end. */
  duplicate(): number {
    const [connection] = connections(this.server.pid, this);
    const own = realOs.takeDescriptor(this.server.pid, connection?.fd ?? -1);
    if (own === undefined) throw new Error("not there");
    return own;
  }

  /** The time is asked when all are held, before any is proven. */
  sayingOnceHeld(own: number, said: string | Buffer): Clock {
    let isSaid = said.length === 0;
    return {
      after: (ms, act) => realOs.clock.after(ms, act),
      now: () => {
        if (!isSaid && lowWater(own) > HELD_MARK) {
          this.client.write(said);
          isSaid = true;
          if (unreadBytes(own) !== said.length) throw new Error("it has not come");
        }
        return realOs.clock.now();
      },
    };
  }

  /** Its connection is taken, held and proven. */
  async take(how: Partial<Surroundings> = {}): Promise<Adoption> {
    const { clock, takeDescriptor, isRunning } = realOs;
    const adoption = new Adoption(this.owner, {
      ...{ clock, takeDescriptor, isRunning, relay: this.relay, limit: new OwnLimit() },
      ...{ isAnyPeer: false, patienceMs: 60_000, refused: () => {} },
      ...{ isSpeechSure: () => true, isMixed: () => false, heard: () => {}, ...how },
    });
    await new Promise<void>((mayStop) => adoption.begin(mayStop));
    return adoption;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy();
    this.server.kill("SIGKILL");
    await this.server.exited;
    this.relay[Symbol.dispose]();
  }
}

function connections(pid: number, { place }: Service) {
  const search = connectionsOf([pid], [place]);
  let step = search.next();
  while (!step.done) step = search.next();
  return step.value;
}

// Before: where no process could be started for the relay (TasksMax=, no memory) a generation that had ended was never told as gone.
test("a relay that cannot be started keeps no generation, and no connection", async () => {
  await using service = new Service();
  await service.ask();
  const adoption = await service.take();
  service.server.kill("SIGTERM");
  await service.server.exited;
  adoption.ended(false);
  expect(adoption.finish()).toEqual({ kept: 0, closed: 1, others: 0 });
  await until(() => service.isOver, { what: "the client to see the end" });
});

// Before: "leaves the old server deaf on those connections, until that one closes them for being idle".
test("a hupwatch that leaves while it holds a connection does not leave its server deaf", async () => {
  await using service = new Service();
  await service.ask();
  const { pid } = service.server;
  const kept = keptConnections({ keptConnections: "adopt" } as RunPlan);
  const keeping = kept.over(realOs).keepConnections?.(service.owner);
  await new Promise<void>((mayStop) => keeping?.begin(mayStop));
  const [connection] = connections(pid, service);
  const own = realOs.takeDescriptor(pid, connection?.fd ?? -1) ?? -1;
  expect(lowWater(own)).toBeGreaterThan(HELD_MARK);
  kept[Symbol.dispose]();
  expect(lowWater(own)).toBe(1);
  close(own);
  await service.ask();
});

test("a bug while connections are held leaves no server deaf, and no generation unfinished", async () => {
  await using service = new Service();
  await service.ask();
  const own = service.duplicate();
  let isBroken = false;
  const isMixed = () => {
    if (isBroken) throw new Error("a bug");
    return false;
  };
  const bugs: unknown[] = [];
  using _ = hearOfBugs((bug) => bugs.push(bug));
  try {
    const adoption = await service.take({ isMixed });
    expect(lowWater(own)).toBeGreaterThanOrEqual(HELD_MARK);
    isBroken = true;
    service.server.kill("SIGTERM");
    await service.server.exited;
    adoption.finish();
    expect(lowWater(own)).toBe(1);
    expect(bugs.length).toBeGreaterThan(0);
  } finally {
    close(own);
  }
  await until(() => service.isOver, { what: "the end of the connection" });
});

test("one that is killed meanwhile does, until the next one wakes it", async () => {
  const code = `
    import { HELD_MARK, setLowWater } from "${ROOT}/src/os/libc-kept.ts";
    import { takeDescriptor } from "${ROOT}/src/os/take-descriptor.ts";
    const [pid, fd] = process.argv.slice(-2).map(Number);
    setLowWater(takeDescriptor(pid, fd), 2 * HELD_MARK);
    process.kill(process.pid, "SIGKILL");`;
  await using service = new Service();
  await service.ask();
  const { pid } = service.server;
  const [connection] = connections(pid, service);
  const words = [process.execPath, "-e", code, `${pid}`, `${connection?.fd}`];
  const held = Bun.spawn(words, { stdio: ["ignore", "ignore", "inherit"] });
  await held.exited;
  expect(held.signalCode).toBe("SIGKILL");
  await service.ask(() => wakeConnections([pid], [service.place], realOs.takeDescriptor));
});

// Before: what came while it was held waited until its server closed it for the signal, so TLS and any other protocol lost requests by a
// proof of which they have nothing.
test("what is not seen to speak HTTP/1 is its server's again before the stop signal", async () => {
  await using service = new Service();
  await service.ask();
  const adoption = await service.take({ isSpeechSure: () => false });
  const { pid } = service.server;
  const [connection] = connections(pid, service);
  const own = realOs.takeDescriptor(pid, connection?.fd ?? -1) ?? -1;
  expect(lowWater(own)).toBe(1);
  close(own);
  await service.ask();
  service.server.kill("SIGTERM");
  await until(() => service.isOver, { what: "the client to see the end" });
  await service.server.exited;
  adoption.ended(false);
  expect(adoption.finish()).toEqual({ kept: 0, closed: 0, others: 1 });
});

const REQUEST = "GET /next HTTP/1.1\r\n";
/** A frame of a WebSocket's client. */
const MASKED = Buffer.from([0x81, 0x80, 1, 2, 3, 4]);
/** HTTP/2: the beginning of a frame. */
const FRAME = "\0\0\x04\x01\x05\0\0\0\x03";

// Before: of hypercorn, which speaks HTTP/2 beside HTTP/1, each connection with HTTP/2 was kept, and lost its next request: 12 of 12 in three
// swaps, 4 of 20 with `close`.
test.each([
  [REQUEST, false, { kept: 0, closed: 1, others: 0 }],
  [FRAME, false, { kept: 0, closed: 0, others: 1 }],
  // A WebSocket beside requests says nothing of those: 13 lost in two swaps.
  [MASKED, false, { kept: 0, closed: 0, others: 1 }],
  [REQUEST, true, { kept: 0, closed: 1, others: 0 }],
  ["", false, { kept: 0, closed: 1, others: 0 }],
  ["", true, { kept: 0, closed: 0, others: 1 }],
])(
  "a client of an HTTP/1 server that says %j while it is held; something else was heard there: %p",
  async (said, isMixed, counts) => {
    await using service = new Service();
    await service.ask();
    const own = service.duplicate();
    const heard: string[] = [];
    const adoption = await service.take({
      clock: service.sayingOnceHeld(own, said),
      isMixed: () => isMixed,
      heard: (speech) => void heard.push(speech),
    });
    // The relay of this service cannot be started: what would be kept is closed.
    expect(lowWater(own) > 1).toBe(counts.closed > 0);
    service.server.kill("SIGTERM");
    await service.server.exited;
    adoption.ended(false);
    expect(adoption.finish()).toEqual(counts);
    expect(heard.includes("other")).toBe(said === FRAME);
    close(own);
    await until(() => service.isOver, { what: "the client to see the end" });
  },
);
