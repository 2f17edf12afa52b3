/** A result for people: the table that ends a run, and the line that shows it running. Text in, text out. */
import type { LoadSnapshot } from "./engine.ts";
import { FAILURE_CLASSES } from "./outcome.ts";
import type { LoadReport, Percentiles } from "./result.ts";

export function renderTable(r: LoadReport): string {
  const blocks = [headline(r), latencies(r)];
  if (r.failures.length > 0) blocks.push(failures(r));
  if (r.versions.length > 0) blocks.push(versions(r));
  blocks.push(notes(r));
  return `${blocks.join("\n\n")}\n`;
}

/** One line, no line end: rate, p99 and failures since the last tick and in all. */
export function progressLine(s: LoadSnapshot): string {
  const rate = (s.interval.count * 1000) / Math.max(1, s.intervalMs);
  return [
    `${seconds(s.elapsedMs)}`,
    `${count(Math.round(rate))}/s`,
    `p99 ${milliseconds(s.interval.p99Us)}`,
    `${count(s.ok)} ok`,
    `${count(s.failed)} failed`,
    ...(s.missed > 0 ? [`${count(s.missed)} missed`] : []),
    `${count(s.inFlight)} in flight`,
  ].join("   ");
}

function headline(r: LoadReport): string {
  const pace = r.rate === null ? "closed loop" : `${count(r.rate)} requests/s`;
  return [
    `${r.target}   ${r.mode}, ${count(r.connections)} connections, ${pace}`,
    `${count(r.failed)} of ${count(r.started)} requests failed in ${seconds(r.elapsedMs)}: ` +
      `${count(r.ok)} ok, ${count(Math.round(r.okPerSecond))}/s, ${count(r.missed)} missed`,
  ].join("\n");
}

function latencies(r: LoadReport): string {
  const row = (name: string, p: Percentiles) => [
    name,
    count(p.count),
    ...[p.p50Us, p.p90Us, p.p99Us, p.p999Us, p.maxUs].map(milliseconds),
  ];
  const rows = [["latency", "answers", "p50", "p90", "p99", "p99.9", "max"]];
  rows.push(row(r.rate === null ? "all" : "from when due", r.latency));
  if (r.rate !== null) rows.push(row("from when sent", r.rawLatency));
  const kinds = Object.entries(r.kinds);
  if (kinds.length > 1) for (const [kind, k] of kinds) rows.push(row(kind, k.latency));
  if (r.segments.length > 1) for (const s of r.segments) rows.push(row(`in ${s.name}`, s.latency));
  return columns(rows);
}

function failures(r: LoadReport): string {
  const rows = r.failures.map((f) => [
    f.class,
    count(f.count),
    f.kind,
    f.errno ?? (f.closeCode === undefined ? "" : `code ${f.closeCode}`),
    f.phase,
    f.reused ? "reused connection" : "new connection",
    FAILURE_CLASSES[f.class].meaning,
  ]);
  return columns([["failure", "requests", "kind", "errno", "phase", "on", "meaning"], ...rows], [1]);
}

function versions(r: LoadReport): string {
  const rows = r.versions.map((v) => [
    v.version,
    count(v.count),
    seconds(v.firstMs),
    seconds(v.lastMs),
    count(v.regressions),
  ]);
  return columns([["version", "answers", "first", "last", "after a newer one"], ...rows]);
}

function notes(r: LoadReport): string {
  const lines = [
    `longest time without an answer: ${seconds(r.longestGapMs)}, at ${seconds(r.longestGapFromMs)}`,
  ];
  const closes = r.idleCloses > 0 ? `, ${count(r.idleCloses)} closed by the server while idle` : "";
  lines.push(`${count(r.connectionsOpened)} connections opened${closes}`);
  if (r.unaskedBytes > 0)
    lines.push(`${count(r.unaskedBytes)} idle connections got bytes that were not requested`);
  if (r.rate !== null)
    lines.push(`the generator's own timer was late by ${milliseconds(r.generator.lag.p99Us)} (p99)`);
  for (const reason of r.generator.reasons) lines.push(`inconclusive: ${reason}`);
  return lines.join("\n");
}

/** Pads cells; numbers to the right. `numeric`: which columns; all but the first where it is left out. */
function columns(rows: string[][], numeric?: number[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const right = (i: number) => (numeric ? numeric.includes(i) : i > 0);
  return rows
    .map((row) =>
      row
        .map((cell, i) => (right(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}

const count = (n: number): string => n.toLocaleString("en-US");
const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
const milliseconds = (us: number): string => `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`;
