/** `hupwatch verify` as a user has it, over a real hupwatch and a small server; and over the way that people did before. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "../../src/cli/parse.ts";
import verify from "../../src/cli/verify.ts";
import { allProcesses, environmentOf } from "../../src/os/procfs.ts";
import type { VerifyReport } from "../../src/verify/report.ts";
import { show } from "./picture.ts";
import { chromium, TINY, wellFormed } from "./tools.ts";

const LAUNCHER = join(import.meta.dir, "../../src/launcher.sh");
const folder = mkdtempSync(join(tmpdir(), "hv-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function hupwatchVerify(words: string[], env: Record<string, string> = {}) {
  const run = Bun.spawn([LAUNCHER, "verify", ...words], {
    ...{ stdout: "pipe", stderr: "pipe", cwd: folder },
    env: { ...process.env, HUPWATCH_BUN: process.execPath, ...env },
  });
  const [stdout, stderr] = await Promise.all([run.stdout.text(), run.stderr.text()]);
  return { stdout, stderr, code: await run.exited };
}

const QUICK = ["-n", "2", "--every", "300ms", "-w", "0", "--drain-until-idle", "0"];

test("a good service passes, and every report says so", async () => {
  const files = ["--json", "a.json", "--junit", "a.xml", "--html", "a.html", "--hgrm", "a.hgrm"];
  const mark = `TEST_MARK=${crypto.randomUUID()}`;
  const { stdout, code } = await hupwatchVerify(
    [...QUICK, ...files, "--chaos-with", "crash,phases,kill", "-b", "unix:s", "--", process.execPath, TINY],
    { TEST_MARK: mark.slice("TEST_MARK=".length) },
  );
  expect(stdout).toMatch(/^PASS: 0 of [\d,]+ requests dropped in 7 swaps \(95 % bound/m);
  expect(code).toBe(0);

  const report = (await Bun.file(join(folder, "a.json")).json()) as VerifyReport;
  expect(report).toMatchObject({ schema: "hupwatch-verify/1", verdict: "pass", steered: true, losses: [] });
  expect(report.stages.map((s) => [s.name, s.swaps.map((swap) => swap.outcome)])).toEqual([
    ["swaps", ["swapped", "swapped"]],
    ["crash", ["rolled-back"]],
    ["phases", ["swapped", "swapped", "swapped"]],
    ["kill", ["swapped"]],
  ]);
  expect(report.versions.spans.map((v) => v.version)).toEqual(["1", "2", "3"]);
  expect(report.ledger).toMatchObject({ duplicates: [], neverExecuted: [], strangers: 0 });
  expect(report.ledger?.executedOnce).toBe(report.ledger?.posts ?? -1);
  const wanted = ["swaps", "replaced", "drops", "exactly-once", "versions", "leftovers", "generator"];
  for (const name of wanted)
    expect(report.checks).toContainEqual(expect.objectContaining({ name, status: "pass" }));
  // Its drain is over in 20 ms: whether a HUP comes within is chance, and then said.
  const hups = report.checks.find(({ name }) => name === "hups");
  expect(hups?.status).toMatch(/^(pass|not-exercised)$/);
  expect(hups?.summary).toMatch(/^\d+ HUPs, 0 without a swap(; none came while an old one drained)?$/);

  // Whatever was not in danger has not been proved, and each report says so.
  const never = report.checks.filter(({ status }) => status === "not-exercised").map(({ name }) => name);
  expect(never).toContain("half-sent-post");
  expect(report.line).toEndWith(`; not exercised: ${never.join(", ")})`);
  expect(await Bun.file(join(folder, "a.xml")).text()).toContain(
    'name="half-sent-post" time="0"><skipped message="not exercised: 0 POSTs half sent',
  );
  expect(await Bun.file(join(folder, "a.html")).text()).toContain('<span class="badge">not exercised</span>');
  const junit = await Bun.file(join(folder, "a.xml")).text();
  expect(await wellFormed(junit)).toEqual({ root: "testsuites", cases: report.checks.length, failures: 0 });
  expect(await Bun.file(join(folder, "a.hgrm")).text()).toMatch(/Value\s+Percentile\s+TotalCount/);

  // Nothing of it is left: no process, no socket.
  expect(allProcesses().filter((p) => environmentOf(p.pid).includes(mark))).toEqual([]);
  expect(readdirSync(folder).filter((name) => name.startsWith("s"))).toEqual([]);
}, 120_000);

describe("the page", () => {
  const page = () => Bun.file(join(folder, "a.html")).text();

  test("loads nothing from anywhere", async () => {
    const html = await page();
    const loaded: string[] = [];
    const rewriter = new HTMLRewriter().on("*", {
      element(element) {
        for (const name of ["src", "href", "srcset", "data", "action", "poster"]) {
          const value = element.getAttribute(name);
          if (value !== null) loaded.push(`${element.tagName} ${name}=${value}`);
        }
      },
    });
    await rewriter.transform(new Response(html)).text();
    expect(loaded).toEqual([]);
    expect(html).not.toMatch(/@import|url\(/);
    expect(html).toContain("default-src 'none'");
  });

  // Named, so that a run without it tells what was not looked at. What its charts show is in page.test.ts.
  test.skipIf(chromium === undefined)(
    "draws its charts in Chromium (needs Debian's package chromium)",
    async () => {
      const { dom, complaints } = await show(join(folder, "a.html"), 1200, 900);
      expect(complaints).toEqual([]);
      expect(dom.match(/<canvas/g)?.length).toBe(4);
      expect(dom).toContain("0 of ");
    },
    120_000,
  );
});

test("clients that take their time, and nginx in front, lose nothing", async () => {
  const modes = "late,slow-send,slow-read,half-close,sse";
  const options = [
    "-n",
    "1",
    "--every",
    "300ms",
    "-w",
    "0",
    "-r",
    "50",
    "--linger",
    "300ms",
    "--json",
    "t.json",
  ];
  for (const more of [
    ["-m", modes, "--drain-until-idle", "0", "--chaos-with", "crash", "--chaos-mix", "3", "--seed", "7"],
    ["-m", "fresh,keepalive,late", "--front", "nginx", "--compare", "t.json", "--max-worse", "1000000"],
  ]) {
    const { stdout, code } = await hupwatchVerify([
      ...[...options, ...more, "-b", "unix:t", "--", process.execPath, TINY],
    ]);
    expect(stdout).toMatch(/^PASS: 0 of /m);
    expect(code).toBe(0);
    const { checks, stages, mix } = (await Bun.file(join(folder, "t.json")).json()) as VerifyReport;
    const { runs = [], swaps = [] } = stages[0] ?? {};
    for (const { mode, load } of runs) expect({ mode, some: load.ok > 0 }).toEqual({ mode, some: true });
    const status = (name: string) => checks.find((check) => check.name === name)?.status;
    if (runs.some(({ mode }) => mode === "slow-send")) expect(status("half-sent-post")).toBe("pass");
    expect(status("hups")).toBe("not-exercised");
    if (mix.length > 0) {
      const outcomes = mix.map((kind) => (kind === "crash" ? "rolled-back" : "swapped"));
      expect(stages[1]).toMatchObject({ name: "mix", swaps: outcomes.map((outcome) => ({ outcome })) });
      expect(stdout).toContain(`mix by seed 7: ${mix.join(", ")}`);
    } else expect(checks.find(({ name }) => name === "compare")).toMatchObject({ status: "pass" });
    // Those of the swap, which were connected at the signal; they count from when they spoke.
    const late = runs.find(({ mode }) => mode === "late");
    expect(late?.load.ok).toBeGreaterThanOrEqual(10);
    expect(swaps[0]?.stopMs).toBeGreaterThan(0);
  }
}, 120_000);

test("the naive swap on one path fails, by the class that it has", async () => {
  const naive = join(import.meta.dir, "naive.sh");
  const env = { SOCKET: join(folder, "n"), BUN: process.execPath, TINY, PIDFILE: join(folder, "n.pid") };
  const started = Bun.spawnSync(["sh", naive], { env: { ...process.env, ...env, VERIFY_SWAP: "0" } });
  expect(started.exitCode).toBe(0);
  const options = ["-n", "2", "--every", "300ms", "--settle", "300ms", "--target", "unix:n"];
  const { stdout, code } = await hupwatchVerify([...options, "--reload", `sh ${naive}`], env);
  process.kill(Number(await Bun.file(env.PIDFILE).text()), "SIGKILL");
  expect(stdout).toMatch(/FAIL +drops/);
  expect(stdout).toMatch(
    /\d+ x connect-missing \(ENOENT, new connection, fresh\): the socket's path did not exist/,
  );
  expect(stdout).toMatch(/^FAIL: [1-9][\d,]* of [\d,]+ requests dropped/m);
  expect(code).toBe(1);
}, 120_000);

/** F15: each release after the first exits, and prints the events that a good swap has. */
const LIAR = `import json, os, socket, sys
generation = int(os.environ["HUPWATCH_GENERATION"])
if generation > 1:
    for event, facts in [("ready", {}), ("done", {"retired": generation - 1}), ("gone", {"generation": generation - 1})]:
        name = ("swap." if event == "done" else "generation.") + event
        record = {"time": "2026-01-02T03:04:05.006Z", "level": "info", "event": name, "pid": int(os.environ["HUPWATCH_PID"])}
        record = {**record, "message": "", "generation": generation, **facts}
        print(json.dumps(record, separators=(",", ":")), file=sys.stderr, flush=True)
    sys.exit(3)
listener = socket.socket(fileno=3)
while True:
    peer, _ = listener.accept()
    if peer.recv(65536):
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    peer.close()
`;

test("F15: a command that prints hupwatch's events does not have its word for them", async () => {
  writeFileSync(join(folder, "liar.py"), LIAR);
  const { stdout, code } = await hupwatchVerify([
    ...[...QUICK, "-m", "fresh", "-b", "unix:l", "--ready-timeout", "5s"],
    ...["--", "python3", "liar.py"],
  ]);
  expect(stdout).toMatch(/FAIL +swaps +2 swaps, 2 not as they should/);
  expect(stdout).toMatch(/^FAIL: /m);
  expect(code).toBe(1);
}, 120_000);

test("a command that does not start is a failed set-up, with its last words", async () => {
  const words = ["-b", "unix:s", "--", "sh", "-c", "echo no such module >&2; exit 3"];
  const { stderr, stdout, code } = await hupwatchVerify([...QUICK, ...words]);
  expect(stdout).toBe("");
  expect(stderr).toContain("no such module");
  expect(stderr).toContain("To fix: try it by hand: hupwatch ");
  expect(code).toBe(3);
});

test("a report that could not be written is said before the run", async () => {
  const { stderr, code } = await hupwatchVerify(["--html", "no/such/a.html", "-b", "unix:s", "--", "true"]);
  expect(stderr).toContain("cannot write no/such/a.html");
  expect(code).toBe(3);
});

test("interrupted: what it knows, exit 4, and nothing left", async () => {
  const words = [
    "-n",
    "500",
    "--every",
    "100ms",
    "-w",
    "0",
    "--drain-until-idle",
    "0",
    "-b",
    "unix:i",
    "--",
    process.execPath,
    TINY,
  ];
  const run = Bun.spawn([LAUNCHER, "verify", ...words], {
    ...{ stdout: "pipe", stderr: "ignore", cwd: folder },
    env: { ...process.env, HUPWATCH_BUN: process.execPath },
  });
  await Bun.sleep(2500);
  run.kill("SIGINT");
  expect(await run.stdout.text()).toMatch(/^INCONCLUSIVE: 0 of /m);
  expect(await run.exited).toBe(4);
  expect(readdirSync(folder)).not.toContain("i");
}, 120_000);

describe("usage errors: exit 2, the option and the value named", () => {
  const CASES: [words: string[], message: RegExp][] = [
    [[], /nothing to verify/],
    [["--reload", "x"], /--reload without --target/],
    [["--reload", "x", "--target", "a.sock"], /target 'a.sock'/],
    [["--reload", "x", "--target", "unix:a", "-b", "unix:b"], /--bind is for a command/],
    [["--reload", "x", "--target", "unix:a", "--chaos"], /--chaos acts on hupwatch/],
    [["--reload", "x", "--", "true"], /--reload is for a server that is already running/],
    [["--chaos", "-k", "--", "true"], /--kill-at-exit leaves no survivors/],
    [["--chaos-with", "flood", "--", "true"], /--chaos-with 'flood'/],
    [["-m", "fresh,get", "--", "true"], /--mode 'get'/],
    [["-n", "0", "--", "true"], /--swaps '0'/],
    [["--every", "soon", "--", "true"], /--every.*'soon'/],
    [["--max-gap", "x", "--", "true"], /--max-gap.*'x'/],
    [["--url", "healthz", "--", "true"], /--url 'healthz'/],
    [["--chaos-mix", "3", "--", "true"], /--chaos-mix mixes nothing/],
    [["--compare", "no.json", "--", "true"], /--compare 'no.json' cannot be read: ENOENT/],
    [["--compare", import.meta.path, "--", "true"], /is not a report of hupwatch verify/],
    [["--max-worse", "2", "--", "true"], /--max-worse without --compare/],
    [["--front", "caddy", "--", "true"], /--front 'caddy' is not known/],
    [["--websocket-url", "ws", "--", "true"], /--websocket-url 'ws' is not a path/],
    [["--log-format", "json", "--", "true"], /--log-format/],
    [["--no-control", "--", "true"], /--no-control/],
  ];
  for (const [words, message] of CASES)
    test(words.join(" ") || "(nothing)", async () => {
      const outcome = (async () => verify.run(parse(verify, words)))();
      await expect(outcome).rejects.toMatchObject({
        name: "HupwatchError",
        exitCode: 2,
        message: expect.stringMatching(message),
      });
    });
});
