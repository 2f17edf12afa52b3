/** The judgement against a server that breaks on purpose: verify has to name what the load saw, and to fail by it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "../../src/cli/parse.ts";
import verify from "../../src/cli/verify.ts";
import { planVerify } from "../../src/cli/verify-plan.ts";
import { FailureLog } from "../../src/load/failure-log.ts";
import { conduct } from "../../src/verify/conductor.ts";
import { makeReport } from "../../src/verify/report.ts";
import { answer, type Fault, FaultServer } from "../faults/server.ts";

// Most run at once, and on a busy machine a second's load may take several. Those that must miss no slot run alone.
setDefaultTimeout(300_000);

const judged = (server: FaultServer, ...options: string[]) => judgedBy(undefined, server, ...options);

async function judgedBy(failures: FailureLog | undefined, server: FaultServer, ...options: string[]) {
  const words = [
    "-n",
    "1",
    "-r",
    "60",
    "--every",
    "300ms",
    "--settle",
    "300ms",
    "--target",
    server.target,
    ...options,
  ];
  const { values, positionals } = parse(verify, ["--reload", server.deploy, ...words]);
  const watcher = { signal: new AbortController().signal, failures };
  return makeReport(await conduct(planVerify(values, positionals), watcher));
}

const check = (report: Awaited<ReturnType<typeof judged>>, name: string) =>
  report.checks.find((c) => c.name === name);

const none: Fault = () => {};

test("nothing wrong: passes, with everything counted", async () => {
  using server = new FaultServer("unix", none, 0);
  const report = await judged(server);
  expect(report).toMatchObject({ verdict: "pass", exitCode: 0, swaps: 1, losses: [] });
  expect(report.modes).toEqual(["fresh", "keepalive", "post"]);
  const { requests } = report;
  expect(requests).toMatchObject({ failed: 0, missed: 0, dropped: 0, ok: requests.started });
  // No second try, and nobody forgotten: the two that ask beforehand come on top.
  expect(server.received.length).toBe(requests.started + 2);
  expect(requests.crossed).toBeGreaterThan(20);
  expect(report.line).toMatch(
    /^0 of [\d,]+ requests dropped in 1 swap \(95 % bound [\d,.]+ per million; [\d,]+ crossed a swap; only X-Version shows that anything was replaced\)$/,
  );
});

/** F14: what no-ops in CI was certified. */
describe("a reload that shows nothing of a replacement is inconclusive", () => {
  test.concurrent("no new version, and the same process", async () => {
    using server = new FaultServer("unix", none, 0);
    const report = await judged(server, "-m", "keepalive", "--burst", "0", "--reload", "true");
    expect(report).toMatchObject({ verdict: "inconclusive", exitCode: 4, requests: { dropped: 0 } });
    const { status, details } = check(report, "replaced") ?? {};
    expect(status).toBe("inconclusive");
    expect(details?.[0]).toBe(`the same processes serve before and after: ${process.pid} ${ownName()}`);
    expect(details?.[1]).toStartWith("only version 1 answered");
    expect(report.line).toContain("nothing shows that anything was replaced");
  });
  test.concurrent("no version at all, over TCP", async () => {
    const unnamed: Fault = ({ socket, good }) => void socket.write(good.replace(/X-Version: \d+\r\n/, ""));
    using server = new FaultServer("tcp", unnamed, 1);
    const report = await judged(server, "-m", "keepalive", "--burst", "0");
    expect(report.exitCode).toBe(4);
    expect(check(report, "replaced")?.details[1]).toStartWith("no answer had X-Version");
  });
  test.concurrent("a version that changes by itself", async () => {
    let answers = 0;
    const fickle: Fault = ({ socket, good }) =>
      void socket.write(good.replace(/X-Version: \d+/, `X-Version: ${Math.floor(answers++ / 20)}`));
    using server = new FaultServer("unix", fickle, 1);
    const report = await judged(server, "-m", "keepalive", "--burst", "0", "--reload", "true");
    expect(check(report, "replaced")?.status).toBe("inconclusive");
    expect(check(report, "replaced")?.details[1]).toMatch(/^version \d+ came while no swap was going on/);
  });
});

test.concurrent("a closed fresh connection is a drop", async () => {
  using server = new FaultServer("unix", ({ socket }) => void socket.end(), 50);
  const report = await judged(server, "-m", "fresh");
  expect(report).toMatchObject({ verdict: "fail", exitCode: 1 });
  expect(check(report, "drops")?.details[0]).toMatch(
    /^\d+ x fin-before-byte \(new connection, (fresh|burst)\)/,
  );
  expect(report.requests.dropped).toBe(server.injected);
});

test.concurrent("the first drop can end the run, and each failure is told with what served", async () => {
  using server = new FaultServer("unix", ({ socket }) => void socket.end(), 30);
  const file = join(tmpdir(), `hupwatch-failures-${crypto.randomUUID()}`);
  using failures = new FailureLog(file);
  const report = await judgedBy(failures, server, "-n", "50", "-m", "fresh", "--stop-at-first-drop");
  expect(report).toMatchObject({ verdict: "fail" });
  expect(report.swaps).toBeLessThan(3);
  const lines = readFileSync(file, "utf8").trim().split("\n");
  rmSync(file);
  expect(lines).toHaveLength(report.requests.dropped);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ stage: "swaps", class: "fin-before-byte" });
});

describe("a keep-alive race", () => {
  /** Closes every 40th connection on which it has answered before. */
  const races = (): Fault => {
    const answered = new WeakSet<object>();
    let asked = 0;
    return ({ socket, good }) => {
      if (answered.has(socket) && ++asked % 40 === 0) return void socket.end();
      answered.add(socket);
      socket.write(good);
    };
  };
  test.concurrent("fails by default, under its own name", async () => {
    using server = new FaultServer("unix", races(), 1);
    const report = await judged(server, "-m", "keepalive", "--burst", "0");
    expect(report.exitCode).toBe(1);
    expect(check(report, "drops")?.status).toBe("pass");
    expect(check(report, "keep-alive-races")).toMatchObject({ status: "fail" });
    expect(check(report, "keep-alive-races")?.details?.[0]).toContain(
      "could hupwatch have kept it? yes, if it ran",
    );
    expect(report.requests.droppedByRaces).toBe(report.requests.dropped);
    expect(report.line).toContain("of them by keep-alive races");
  });
  test.concurrent("is tolerated where it is asked for", async () => {
    using server = new FaultServer("unix", races(), 1);
    const report = await judged(server, "-m", "keepalive", "--burst", "0", "--allow-stale-keepalive");
    expect(report).toMatchObject({ exitCode: 0, requests: { dropped: 0 } });
  });
});

test("a POST that nginx sent on a kept connection which was closing is a drop, with nginx's 502", async () => {
  using server = new FaultServer("unix", ({ socket }) => void socket.end(), 40);
  const report = await judged(server, "-m", "post", "--burst", "0", "--front", "nginx");
  expect(check(report, "drops")).toMatchObject({ status: "fail" });
  expect(report).toMatchObject({ front: "nginx", steered: false, requests: { dropped: server.injected } });
  const kinds = new Set(report.losses.map(({ loss, kind, class: name }) => `${loss} ${kind} ${name}`));
  expect([...kinds]).toEqual(["drop post bad-gateway"]);
});

test("streams that end are counted by how they ended, and fail only by a bound", async () => {
  const cut: Fault = ({ socket, request, good }) => {
    if (!request.url.startsWith("/stream")) return void socket.write(good);
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    // The first one, which asks whether there are streams at all, is whole.
    const ending = isFirst ? "0\r\n\r\n" : "";
    setTimeout(() => socket.end(ending), 20);
    isFirst = false;
  };
  let isFirst = true;
  using server = new FaultServer("unix", cut, 1);
  const options = ["-m", "sse", "--burst", "0", "-r", "1000", "--linger", "100ms"];
  const report = await judged(server, ...options, "--max-cut-streams", "1");
  expect(check(report, "streams")).toMatchObject({
    status: "fail",
    details: [expect.stringMatching(/x stream-cut/)],
  });
  expect(report.requests.dropped).toBe(0);
});

test.concurrent("a client that is not served without a swap either is a failed set-up", async () => {
  using server = new FaultServer("unix", ({ socket }) => void socket.end(answer("no", { status: "404" })), 2);
  await expect(judged(server, "-m", "slow-read")).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringContaining("before any swap a client of --mode slow-read failed: bad-status"),
  });
});

test.concurrent("a wrong body is no drop, and fails", async () => {
  const wrong: Fault = ({ socket, good }) => void socket.write(good.replace(/"sha256":"\w/, '"sha256":"x'));
  using server = new FaultServer("unix", wrong, 30);
  const report = await judged(server, "-m", "post", "--burst", "0");
  expect(check(report, "bodies")).toMatchObject({ status: "fail" });
  expect(report).toMatchObject({ exitCode: 1, requests: { dropped: 0 } });
});

test("an app without the contract is not sent POSTs", async () => {
  const noSuchPath = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  const refuse: Fault = ({ socket, good }) => void socket.write(good.includes("sha256") ? noSuchPath : good);
  using server = new FaultServer("unix", refuse, 1);
  const report = await judged(server);
  expect(report.modes).toEqual(["fresh", "keepalive"]);
  expect(report.exitCode).toBe(0);
});

test.concurrent("a generator without connections to spare proves nothing", async () => {
  const slow: Fault = ({ socket, good }) => void setTimeout(() => socket.write(good), 40);
  using server = new FaultServer("unix", slow, 1);
  const report = await judged(
    server,
    "-m",
    "keepalive",
    "-c",
    "1",
    "-r",
    "500",
    "--timeout",
    "3s",
    "--burst",
    "0",
  );
  expect(check(report, "generator")).toMatchObject({ status: "inconclusive" });
  expect(report).toMatchObject({ verdict: "inconclusive", exitCode: 4 });
});

test.concurrent("a reload command that fails is a failed swap, with what it said", async () => {
  using server = new FaultServer("unix", none, 0);
  const report = await judged(server, "--reload", "echo no such service; exit 5");
  expect(report.exitCode).toBe(1);
  const { details = [] } = check(report, "swaps") ?? {};
  expect(details[0]).toContain("exited with code 5:\n  no such service");
});

test.concurrent("a server that does not answer before any swap is a failed set-up", async () => {
  const missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  using server = new FaultServer("unix", ({ socket }) => void socket.write(missing), 1);
  await expect(judged(server)).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringContaining("bad-status, status 404"),
    hint: expect.stringContaining("--url"),
  });
});

test.concurrent("bounds fail only where they are given", async () => {
  using server = new FaultServer("unix", none, 0);
  const options = ["--max-gap", "0", "--max-p999-ratio", "0.01"];
  const report = await judged(server, "-m", "fresh", ...options);
  expect(check(report, "longest-gap")?.status).toBe("fail");
  expect(check(report, "p99.9")?.status).toBe("fail");
  expect(check(report, "p99")?.status).toBe("measured");
});

/** npm calls the runtime bun.exe, others bun. */
const ownName = () => readFileSync("/proc/self/comm", "utf8").trim();
