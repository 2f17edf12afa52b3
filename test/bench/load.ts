/**
 * How fast is `hupwatch load`, beside others, on this machine, now: `bun run bench:load [--seconds N] [--rounds N]`.
 * All load the same small Bun server, in turn, several rounds, so that a busy machine slows all of them; the median
 * counts. Those that are not installed are named as skipped. Ends with the clean control: a million requests, no false
 * alarm, and the server got as many as were sent.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LoadReport } from "../../src/load/result.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    connections: { type: "string", default: "50" },
    control: { type: "string", default: "1000000" },
  },
});
const { seconds, connections } = values;
const folder = mkdtempSync(join(tmpdir(), "hupwatch-bench-"));
const path = join(folder, "server.sock");
const LAUNCHER = join(import.meta.dir, "../../src/launcher.sh");
const AUTOCANNON = ["npx", "--yes", "autocannon@9.0.0"];

interface Sample {
  perSecond: number;
  maxRssMb: number;
  cpuSeconds: number;
}

interface Contender {
  name: string;
  over: "unix" | "tcp";
  kind: "keep-alive" | "fresh";
  command: string[];
  /** Answers a second, out of what it printed. */
  read(stdout: string): number;
}

const server = Bun.spawn(["bun", join(import.meta.dir, "load-server.ts"), path], { stdout: "pipe" });
const lines = readLines(server.stdout);
const port = Number((await lines()).split(" ")[1]);
const http = `http://127.0.0.1:${port}/`;

const ours = (over: "unix" | "tcp", mode: "keepalive" | "fresh"): Contender => ({
  name: "hupwatch load",
  over,
  kind: mode === "fresh" ? "fresh" : "keep-alive",
  command: [
    ...[LAUNCHER, "load", "-q", "--json", "-m", mode, "-c", connections, "-d", `${seconds}s`],
    over === "unix" ? `unix:${path}` : http,
  ],
  read: (stdout) => (JSON.parse(stdout) as LoadReport).okPerSecond,
});
const wrk = (kind: "keep-alive" | "fresh"): Contender => ({
  ...{ name: "wrk", over: "tcp", kind },
  command: [
    ...["wrk", "-t1", `-c${connections}`, `-d${seconds}s`],
    ...(kind === "fresh" ? ["-H", "Connection: close"] : []),
    http,
  ],
  read: (stdout) => Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
});
const autocannon = (over: "unix" | "tcp"): Contender => ({
  ...{ name: "autocannon", over, kind: "keep-alive" },
  command: [
    ...[...AUTOCANNON, "--json", "-c", connections, "-d", seconds],
    ...(over === "unix" ? ["-S", path, "http://localhost/"] : [http]),
  ],
  read: (stdout) => (JSON.parse(stdout) as { requests: { average: number } }).requests.average,
});
const oha: Contender = {
  ...{ name: "oha", over: "unix", kind: "keep-alive" },
  command: [
    ...["oha", "--no-tui", "-c", connections, "-z", `${seconds}s`],
    ...["--unix-socket", path, "http://localhost/"],
  ],
  read: (stdout) => Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
};

const contenders = [
  ...[ours("unix", "keepalive"), autocannon("unix"), oha],
  ...[ours("tcp", "keepalive"), wrk("keep-alive"), autocannon("tcp")],
  ...[ours("unix", "fresh"), ours("tcp", "fresh"), wrk("fresh")],
];
const samples = new Map<Contender, Sample[]>();
const skipped = new Map<string, string>();

for (let round = 0; round < Number(values.rounds); round++)
  for (const contender of contenders) {
    const sample = await measure(contender);
    if (typeof sample === "string") skipped.set(contender.name, sample);
    else samples.set(contender, [...(samples.get(contender) ?? []), sample]);
  }
print();
await cleanControl();
server.kill();
rmSync(folder, { recursive: true, force: true });

async function measure({ command, read }: Contender): Promise<Sample | string> {
  if (!Bun.which(command[0] as string)) return "not installed";
  const run = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  const [stdout, stderr] = await Promise.all([run.stdout.text(), run.stderr.text()]);
  if ((await run.exited) !== 0) return stderr.trim().split("\n").at(-1) ?? "failed";
  const used = run.resourceUsage();
  return {
    perSecond: read(stdout),
    maxRssMb: (used?.maxRSS ?? 0) / 1024 ** 2,
    cpuSeconds: Number(used?.cpuTime.total ?? 0) / 1e6,
  };
}

function print(): void {
  const best = ours("unix", "keepalive");
  const row = (c: { name: string; over: string; kind: string }) => `${c.name} ${c.over} ${c.kind}`;
  const rate = new Map([...samples].map(([c, s]) => [row(c), median(s.map((one) => one.perSecond))]));
  console.log(
    "| generator | over | connections | answers/s (median) | range | to hupwatch, same kind, Unix | RSS MB | CPU |",
  );
  console.log("|---|---|---|--:|--:|--:|--:|--:|");
  for (const [c, all] of samples) {
    const mid = rate.get(row(c)) ?? 0;
    const reference = rate.get(row({ ...best, kind: c.kind })) ?? Number.NaN;
    const range = [Math.min, Math.max].map((f) => whole(f(...all.map((s) => s.perSecond)))).join(" to ");
    const rss = Math.round(median(all.map((s) => s.maxRssMb)));
    const cpu = (median(all.map((s) => s.cpuSeconds)) / Number(seconds)).toFixed(2);
    const ratio = (mid / reference).toFixed(2);
    console.log(
      `| ${c.name} | ${c.over} | ${c.kind} | ${whole(mid)} | ${range} | ${ratio} | ${rss} | ${cpu} |`,
    );
  }
  for (const [name, why] of skipped) console.log(`skipped: ${name} (${why})`);
}

/** What the server got must be what was sent, and nothing may be called a failure. */
async function cleanControl(): Promise<void> {
  const before = await receivedByServer();
  const command = [LAUNCHER, "load", "-q", "--json", "-n", values.control, `unix:${path}:/echo`];
  const run = Bun.spawn(command, { stdout: "pipe" });
  const report = JSON.parse(await run.stdout.text()) as LoadReport;
  const received = (await receivedByServer()) - before;
  const code = await run.exited;
  console.log(
    `\nclean control: ${whole(report.failed)} of ${whole(report.started)} called failed, ` +
      `server received ${whole(received)}, exit ${code}`,
  );
  if (code !== 0 || received !== report.started) process.exitCode = 1;
}

async function receivedByServer(): Promise<number> {
  server.kill("SIGUSR2");
  return Number((await lines()).split(" ")[1]);
}

function readLines(stream: ReadableStream<Uint8Array>): () => Promise<string> {
  const reader = stream.getReader();
  let held = "";
  return async () => {
    while (!held.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the server ended");
      held += new TextDecoder().decode(value);
    }
    const end = held.indexOf("\n");
    const line = held.slice(0, end);
    held = held.slice(end + 1);
    return line;
  };
}

function median(numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function whole(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}
