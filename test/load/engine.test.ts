import { describe, expect, test } from "bun:test";
import { type LoadOptions, startLoad } from "../../src/load/engine.ts";
import { isKeepAliveRace } from "../../src/load/outcome.ts";
import { makePlan } from "../../src/load/plan.ts";
import { parseTarget } from "../../src/load/target.ts";
import { verdictOf } from "../../src/load/verdict.ts";
import { type Fault, FaultServer } from "../faults/server.ts";

type Given = Parameters<typeof makePlan>[1];

const start = (server: FaultServer, given: Given, options?: LoadOptions) =>
  startLoad(makePlan(parseTarget(server.target, "/"), { failureRecordsMax: 1000, ...given }), options);

const none: Fault = () => {};

/** A fault that strikes the first time only, and then answers as if nothing were. */
function once(fault: Fault): Fault {
  let struck = false;
  return (ask) => {
    if (struck) return void ask.socket.write(ask.good);
    struck = true;
    fault(ask);
  };
}

describe("a clean server", () => {
  const CASES: [transport: "unix" | "tcp", given: Given][] = [
    ["unix", { mode: "keepalive", requests: 30_000, connections: 20 }],
    ["unix", { mode: "fresh", requests: 10_000, connections: 20 }],
    ["unix", { mode: "post", requests: 5000, connections: 20 }],
    ["unix", { mode: "mix", requests: 1000, connections: 20, uploadBytes: 500_000 }],
    ["tcp", { mode: "keepalive", requests: 5000, connections: 20 }],
    ["tcp", { mode: "fresh", requests: 2000, connections: 20 }],
  ];
  for (const [transport, given] of CASES)
    test(`no false alarm, nothing sent twice: ${transport} ${given?.mode} ${given?.requests}`, async () => {
      using server = new FaultServer(transport, none, 0);
      const result = await start(server, given).done;
      expect(result.failures).toEqual([]);
      expect(result).toMatchObject({ started: given?.requests, ok: given?.requests, failed: 0, missed: 0 });
      expect(server.received.length).toBe(result.started);
      const expected = Array.from(
        { length: result.ids.count },
        (_, n) => result.ids.prefix + String(n).padStart(10, "0"),
      );
      expect(server.received.toSorted()).toEqual(expected);
      expect(result.versionRegressions).toBe(0);
      expect(verdictOf(result)).toBe("clean");
    });

  test("fresh means a connection each, kept ones are kept", async () => {
    using server = new FaultServer("unix", none, 0);
    const fresh = await start(server, { mode: "fresh", requests: 50, connections: 5 }).done;
    expect(fresh.connectionsOpened).toBe(50);
    const kept = await start(server, { mode: "keepalive", requests: 50, connections: 5 }).done;
    expect(kept.connectionsOpened).toBe(5);
  });
});

describe("open loop", () => {
  test("a stall is seen by all requests that would have waited in it, not by the one request alone", async () => {
    const stall: Fault = ({ socket, good }) => void setTimeout(() => socket.write(good), 400);
    using server = new FaultServer("unix", once(stall), 10);
    const result = await start(server, { rate: 200, requests: 100, connections: 1 }).done;
    expect(result).toMatchObject({ started: 100, ok: 100, missed: 0 });
    expect(result.latency.p90Us).toBeGreaterThan(150_000);
    expect(result.rawLatency.p90Us).toBeLessThan(result.latency.p90Us / 2);
    expect(result.longestGapMs).toBeGreaterThan(300);
  });

  test("slots that find no connection in time are missed: counted, and the run is inconclusive", async () => {
    const late: Fault = ({ socket, good }) => void setTimeout(() => socket.write(good), 30);
    using server = new FaultServer("unix", late, 1);
    const result = await start(server, { rate: 200, requests: 80, connections: 1, timeoutMs: 1000 }).done;
    expect(result.missed).toBeGreaterThan(0);
    expect(result).toMatchObject({ scheduled: 80, started: 80 - result.missed, failed: 0 });
    expect(result.generator.limited).toBe(true);
    expect(result.generator.reasons[0]).toContain("all 1 connections busy");
    expect(verdictOf(result)).toBe("limited");
    // A server's failure is proven, whatever the generator was.
    const lost = { class: "timeout", phase: "body", kind: "keepalive", reused: true, count: 1 } as const;
    expect(verdictOf({ ...result, failures: [lost] })).toBe("failures");
    expect(verdictOf({ ...result, failures: [{ ...lost, class: "local-limit" }] })).toBe("limited");
  });

  test("paced as asked", async () => {
    using server = new FaultServer("unix", none, 0);
    const result = await start(server, { rate: 500, durationMs: 300, connections: 5 }).done;
    expect(result.started).toBe(150);
    expect(result.elapsedMs).toBeGreaterThanOrEqual(298);
  });
});

describe("an outage", () => {
  const nothing = parseTarget("unix:/nonexistent/hupwatch.sock", "/");

  test("open loop: each slot is one failure, however many fail at once", async () => {
    const plan = makePlan(nothing, {
      ...{ rate: 1_000_000, requests: 30_000, connections: 10, timeoutMs: 60_000 },
    });
    const result = await startLoad(plan).done;
    expect(result).toMatchObject({ started: 30_000, failed: 30_000, missed: 0 });
    expect(result.failures).toMatchObject([{ class: "connect-missing", errno: "ENOENT", count: 30_000 }]);
    expect([result.failureRecords.length, result.failureRecordsDropped]).toEqual([1000, 29_000]);
  });

  test("closed loop: the figure tells of the outage, not of how fast one can ask in vain", async () => {
    const result = await startLoad(makePlan(nothing, { durationMs: 1000, connections: 2 })).done;
    expect(result.failed).toBeGreaterThan(2);
    expect(result.failed).toBeLessThanOrEqual(2 * (1000 / 5 + 1));
  });
});

describe("the end", () => {
  test("aborted: nothing new starts, what is in flight ends, nothing is left open", async () => {
    using server = new FaultServer("unix", none, 0);
    const abort = new AbortController();
    const options: LoadOptions = {
      signal: abort.signal,
      tickMs: 5,
      onTick: ({ ok }) => ok > 0 && abort.abort(),
    };
    const result = await start(server, { durationMs: 60_000, connections: 5 }, options).done;
    expect(result.started).toBe(result.ok);
    expect(server.received.length).toBe(result.started);
    const already = await start(server, { durationMs: 60_000 }, { signal: AbortSignal.abort() }).done;
    expect(already.started).toBe(0);
  });

  test("aborted in an open loop: what is not due was never scheduled", async () => {
    using server = new FaultServer("unix", none, 0);
    const abort = new AbortController();
    const options: LoadOptions = {
      signal: abort.signal,
      tickMs: 5,
      onTick: ({ ok }) => ok > 5 && abort.abort(),
    };
    const result = await start(server, { rate: 300, durationMs: 60_000 }, options).done;
    expect(result.scheduled).toBeLessThan(18_000);
    expect(result.scheduled).toBe(result.ok + result.failed + result.missed);
  });

  test("silence ends by the time limit, with the phase", async () => {
    using server = new FaultServer("tcp", none, 1);
    const result = await start(server, { mode: "fresh", requests: 3, timeoutMs: 50 }).done;
    expect(result.failures).toMatchObject([{ class: "timeout", phase: "before-byte", count: 3 }]);
    expect(result.failureRecords[0]?.endedMs).toBeGreaterThanOrEqual(50);
    expect(result.longestGapMs).toBeGreaterThanOrEqual(50);
  });
});

describe("kept connections", () => {
  /** Requests a second: a machine that pauses for less than 200 ms delivers what the server does in between. */
  const SELDOM = 5;

  test("closed by the server while idle: no failure, a new one is opened", async () => {
    const closeLater: Fault = ({ socket, good }) => {
      socket.write(good);
      setTimeout(() => socket.end(), 1);
    };
    using server = new FaultServer("unix", closeLater, 5);
    const result = await start(server, { rate: SELDOM, requests: 7, connections: 1 }).done;
    expect(result).toMatchObject({ ok: 7, failed: 0, idleCloses: 1, connectionsOpened: 2 });
  });

  test("bytes that were not requested are noted, and the connection is not used again", async () => {
    const chatter: Fault = ({ socket, good }) => {
      socket.write(good);
      setTimeout(() => socket.write("HTTP/1.1 200 OK\r\n"), 1);
    };
    using server = new FaultServer("unix", chatter, 5);
    const result = await start(server, { rate: SELDOM, requests: 7, connections: 1 }).done;
    expect(result).toMatchObject({ ok: 7, unaskedBytes: 1, connectionsOpened: 2 });
    expect(verdictOf(result)).toBe("failures");
  });

  test("closed under an idempotent request: the keep-alive race, on a reused connection", async () => {
    using server = new FaultServer("unix", ({ socket }) => void socket.end(), 5);
    const get = await start(server, { requests: 10, connections: 1 }).done;
    expect(get.failureRecords).toMatchObject([
      { class: "fin-before-byte", reused: true, kind: "keepalive", receivedBytes: 0 },
      { class: "fin-before-byte", reused: true, kind: "keepalive", receivedBytes: 0 },
    ]);
    expect(get.failureRecords.every(isKeepAliveRace)).toBe(true);
    const post = await start(server, { mode: "post", requests: 10, connections: 1 }).done;
    expect(post.failed).toBe(2);
    expect(post.failureRecords.some(isKeepAliveRace)).toBe(false);
  });
});

describe("books", () => {
  test("failures are kept in full up to the cap, and counted beyond it", async () => {
    using server = new FaultServer("unix", ({ socket }) => void socket.end(), 1);
    const seen: string[] = [];
    const onFailure: LoadOptions["onFailure"] = ({ id }) => seen.push(id);
    const given: Given = { mode: "fresh", requests: 20, failureRecordsMax: 5 };
    const result = await start(server, given, { onFailure }).done;
    expect(result.failed).toBe(20);
    expect(result.failureRecords.length).toBe(5);
    expect(result.failureRecordsDropped).toBe(15);
    // Told of are all, as they happen.
    expect(seen).toHaveLength(20);
    expect(seen.slice(0, 5)).toEqual(result.failureRecords.map((f) => f.id));
  });

  test("a burst: beyond rate and connections, each on a connection of its own, conserved", async () => {
    using server = new FaultServer("unix", none, 0);
    const run = start(server, { rate: 20, requests: 5, connections: 1 });
    run.burst(40);
    const result = await run.done;
    expect(result).toMatchObject({ scheduled: 45, started: 45, ok: 45 });
    expect(result.connectionsOpened).toBe(41);
    expect(new Set(server.received).size).toBe(45);
    run.burst(1);
    expect(server.received.length).toBe(45);
  });

  test("segments: a request belongs to the stretch it touched, and the base is the rest", async () => {
    let run: ReturnType<typeof start> | undefined;
    let answered = 0;
    const naming: Fault = ({ socket, good }) => {
      answered++;
      // The third request ends in the swap, the fourth begins in it.
      if (answered === 3) run?.segment("swap");
      if (answered === 4) run?.segment("base");
      socket.write(good);
    };
    using server = new FaultServer("unix", naming, 1);
    run = start(server, { requests: 10, connections: 1 });
    const result = await run.done;
    expect(result.segments.map((s) => [s.name, s.ok, s.latency.count])).toEqual([
      ["base", 8, 8],
      ["swap", 2, 2],
    ]);
  });

  test("the series holds every request once", async () => {
    using server = new FaultServer("unix", ({ socket }) => void socket.end(), 10);
    const { series, ok, failed, latency } = await start(server, { requests: 500, connections: 4 }).done;
    const sum = (cells: number[]) => cells.reduce((a, b) => a + b, 0);
    expect([sum(series.ok), sum(series.failed)]).toEqual([ok, failed]);
    expect(Math.max(...series.maxUs)).toBe(latency.maxUs);
  });

  test("ticks say where the run stands", async () => {
    using server = new FaultServer("unix", none, 0);
    let last = { ok: 0, started: 0, inFlight: -1 };
    const options: LoadOptions = { tickMs: 5, onTick: (snapshot) => (last = snapshot) };
    const result = await start(server, { requests: 2000 }, options).done;
    expect(last).toMatchObject({ ok: result.ok, started: 2000, inFlight: 0 });
  });
});

test("a marked instant counts which clients are in which danger, and which of them are lost", async () => {
  // The first of each two requests on a connection is answered, the second one not before it is marked, and then never.
  const answered = new WeakSet<object>();
  const waiting: (() => void)[] = [];
  const fault: Fault = ({ socket, good }) => {
    if (answered.has(socket)) return void waiting.push(() => void socket.end());
    answered.add(socket);
    socket.write(good);
  };
  using server = new FaultServer("unix", fault, 1);
  const run = start(
    server,
    { mode: "keepalive", connections: 2, requests: 4 },
    {
      tickMs: 5,
      onTick() {
        if (waiting.length < 2) return;
        run.mark("flipped");
        // The same instant again: nobody is counted twice.
        run.mark("flipped");
        for (const end of waiting.splice(0)) end();
      },
    },
  );
  const { dangers, failed } = await run.done;
  expect(failed).toBe(2);
  expect(dangers).toEqual([{ danger: "kept", at: "flipped", met: 2, lost: 2 }]);
});
