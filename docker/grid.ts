/** The results: what a cell came to, and how the whole is told as lines, as JSON and as a page. Pure. */
import type { Measured } from "./cell.ts";

export type Outcome =
  | { kind: "green"; measured: Measured }
  | { kind: "red"; faults: string[]; measured?: Measured }
  | { kind: "skipped"; why: string };

export interface Cell {
  row: string;
  column: string;
  /** The deploy as it is typed. */
  typed: string;
  outcome: Outcome;
  seconds: number;
}

/** Further things that were tried, each by itself. */
export interface Extra {
  name: string;
  outcome:
    | { kind: "green"; said: string }
    | { kind: "red"; faults: string[] }
    | { kind: "skipped"; why: string };
}

export interface Grid {
  schema: "hupwatch-rig/1";
  engine: string;
  base: string;
  /** Megabytes (10^6 bytes). */
  images: Record<string, number>;
  cells: Cell[];
  extras: Extra[];
  seconds: number;
}

export const COLUMNS = [
  "supervisor",
  "server",
  "requests",
  "swaps",
  "dropped",
  "back",
  "zombies",
  "processes",
  "memory",
  "stop",
  "verdict",
] as const;

export function isGreen({ cells, extras }: Grid): boolean {
  const tried = [...cells, ...extras].map(({ outcome }) => outcome.kind);
  // A grid of nothing proves nothing.
  return tried.includes("green") && !tried.includes("red");
}

/** A cell's figures in the order of COLUMNS. */
export function figuresOf({ row, column, outcome }: Cell): string[] {
  const verdict = outcome.kind === "green" ? "ok" : outcome.kind === "red" ? "FAILED" : "skipped";
  const m = outcome.kind === "skipped" ? undefined : outcome.measured;
  if (!m) return [row, column, ...COLUMNS.slice(3).map(() => "-"), verdict];
  const stop = `${(m.stop.ms / 1000).toFixed(1)} s`;
  return [
    row,
    column,
    String(m.load.started),
    String(m.swaps),
    String(m.load.failed),
    String(m.load.versionRegressions),
    String(m.zombies.length),
    `${m.processes.first} > ${m.processes.last}`,
    `${m.memoryMb.first.toFixed(0)} > ${m.memoryMb.last.toFixed(0)} MB`,
    m.stop.inFlight === "not asked" ? `(${stop})` : `${stop}, code ${m.stop.code}`,
    verdict,
  ];
}

/** What is not green or deserves a word, a line each. */
export function remarksOf({ cells, extras }: Grid): string[] {
  const name = (c: Cell | Extra) => ("name" in c ? c.name : `${c.row} / ${c.column}`);
  return [...cells, ...extras].flatMap((c) => {
    const { outcome } = c;
    if (outcome.kind === "red") return outcome.faults.map((fault) => `FAILED ${name(c)}: ${fault}`);
    if (outcome.kind === "skipped") return [`skipped ${name(c)}: ${outcome.why}`];
    return "said" in outcome ? [`ok ${name(c)}: ${outcome.said}`] : [];
  });
}

export function countsOf({ cells, extras }: Grid): string {
  const kinds = [...cells, ...extras].map(({ outcome }) => outcome.kind);
  const count = (kind: string) => kinds.filter((k) => k === kind).length;
  return `${count("green")} ok, ${count("red")} failed, ${count("skipped")} skipped`;
}

export function renderText(grid: Grid): string {
  const rows = [[...COLUMNS], ...grid.cells.map(figuresOf)];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const table = rows.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const images = Object.entries(grid.images).map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`);
  return [
    ...table,
    "",
    ...remarksOf(grid),
    `images: ${images.join(", ")}`,
    `engine: ${grid.engine}; base: ${grid.base}; ${Math.round(grid.seconds)} s`,
    countsOf(grid),
    "",
  ].join("\n");
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color-scheme:light dark}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #8884;white-space:nowrap}
.green td:last-child{color:#197d3c}.red td:last-child{color:#c62828;font-weight:bold}.skipped{opacity:.6}
@media (prefers-color-scheme:dark){.green td:last-child{color:#6fd08c}.red td:last-child{color:#ff8a80}}`;

/** One self-contained file. */
export function renderPage(grid: Grid): string {
  const cell = (tag: string) => (text: string) => `<${tag}>${Bun.escapeHTML(text)}</${tag}>`;
  const row = (c: Cell) =>
    `<tr class="${c.outcome.kind}" title="${Bun.escapeHTML(c.typed)}">${figuresOf(c).map(cell("td")).join("")}</tr>`;
  const remarks = remarksOf(grid).map(cell("li")).join("");
  const images = Object.entries(grid.images).map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>hupwatch below supervisors: ${countsOf(grid)}</title><style>${STYLE}</style></head><body>
<h1>hupwatch below supervisors</h1><p>${countsOf(grid)}. Fresh connections from another container while the server is
replaced, then a stop with a request in flight. The deploy of a row is its tooltip.</p>
<div class="scroll"><table><thead><tr>${COLUMNS.map(cell("th")).join("")}</tr></thead>
<tbody>${grid.cells.map(row).join("\n")}</tbody></table></div>
<ul>${remarks}</ul>
<p>${Bun.escapeHTML(`Images: ${images.join(", ")}. Engine: ${grid.engine}. Base: ${grid.base}.`)}</p>
</body></html>
`;
}
