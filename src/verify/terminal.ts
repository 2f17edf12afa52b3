/** The report for people at a terminal or in a CI log: the verdict first, then every check, then what is behind it. */
import type { Check } from "./check.ts";
import type { Progress } from "./conductor.ts";
import type { LatencyPair } from "./figures.ts";
import type { VerifyReport } from "./report.ts";
import { count, us } from "./words.ts";

const WORDS = {
  pass: "ok",
  fail: "FAIL",
  inconclusive: "??",
  measured: "--",
  skipped: "skip",
  "not-exercised": "none",
} as const;

export function renderVerdict(report: VerifyReport): string {
  const { subject, target, modes, load, machine } = report;
  const head = [
    `${subject.kind === "hupwatch" ? "hupwatch -- " : "reload: "}${subject.command}`,
    `${target}   ${modes.join(", ")}, ${count(load.ratePerMode)} requests/s each, ` +
      `seed ${load.seed}, ${(report.elapsedMs / 1000).toFixed(0)} s, Linux ${machine.kernel}, ${machine.cpus} CPUs`,
  ];
  if (report.mix.length > 0) head.push(`mix by seed ${load.seed}: ${report.mix.join(", ")}`);
  const blocks = [head.join("\n"), checks(report.checks)];
  if (report.latency.length > 0) blocks.push(latencies(report.latency));
  blocks.push(`${report.verdict.toUpperCase()}: ${report.line}`);
  return `${blocks.join("\n\n")}\n`;
}

/** One line, no line end. */
export function renderProgress(p: Progress): string {
  return [
    `${(p.elapsedMs / 1000).toFixed(1)} s`,
    p.doing,
    `${count(Math.round(p.perSecond))}/s`,
    `p99 ${us(p.p99Us)}`,
    `${count(p.started)} sent`,
    `${count(p.failed)} failed`,
  ].join("   ");
}

function checks(all: readonly Check[]): string {
  const width = Math.max(...all.map((check) => check.name.length));
  return all
    .flatMap(({ name, status, summary, details }) => [
      `${WORDS[status].padEnd(4)}  ${name.padEnd(width)}  ${summary}`,
      ...(status === "pass" ? [] : details).map(
        (line) => `${" ".repeat(8 + width)}${line.replaceAll("\n", `\n${" ".repeat(8 + width)}`)}`,
      ),
    ])
    .join("\n");
}

function latencies(pairs: readonly LatencyPair[]): string {
  const row = (name: string, when: string, p: LatencyPair["steady"]) => [
    name.padEnd(10),
    when.padEnd(8),
    ...[count(p.count), us(p.p50Us), us(p.p99Us), us(p.p999Us), us(p.maxUs)].map((cell) => cell.padStart(10)),
  ];
  const head = ["latency".padEnd(10), "".padEnd(8)].concat(
    ["answers", "p50", "p99", "p99.9", "max"].map((cell) => cell.padStart(10)),
  );
  const rows = pairs.flatMap(({ mode, steady, swap }) => [
    row(mode, "steady", steady),
    row("", "in swaps", swap),
  ]);
  return [head, ...rows].map((cells) => cells.join("  ").trimEnd()).join("\n");
}
