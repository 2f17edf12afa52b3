/** The results: what a cell came to, and how the whole is told as lines of at most 80 characters. Pure; page.ts has the page. */
import type { Measured } from "./cell.ts";

export type Outcome =
  | { kind: "green"; measured: Measured }
  | { kind: "red"; faults: string[]; measured?: Measured }
  | { kind: "skipped"; why: string };

export interface Cell {
  row: string;
  column: string;
  /** The deploy as it is typed. */
  deploy: string;
  /** What is typed before the container is stopped. */
  leaves?: string;
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

export const FIGURES = ["requests", "swaps", "dropped", "zombies", "procs", "MB", "stop"] as const;

export function isGreen({ cells, extras }: Grid): boolean {
  const tried = [...cells, ...extras].map(({ outcome }) => outcome.kind);
  // A grid of nothing proves nothing.
  return tried.includes("green") && !tried.includes("red");
}

const VERDICTS = { green: "ok", red: "FAILED", skipped: "skip" } as const;
export const verdictOf = ({ outcome }: Cell | Extra): string => VERDICTS[outcome.kind];

export const measuredOf = ({ outcome }: Cell): Measured | undefined =>
  outcome.kind === "skipped" ? undefined : outcome.measured;

/** A cell's figures in the order of FIGURES. */
export function figuresOf(cell: Cell): string[] {
  const m = measuredOf(cell);
  if (!m) return FIGURES.map(() => "-");
  const fromTo = (values: number[]) => [values[0] ?? 0, values.at(-1) ?? 0].map((n) => n.toFixed(0));
  const [before, after] = fromTo(m.processes);
  return [
    String(m.load.started),
    String(m.swaps),
    String(m.load.failed),
    String(m.zombies.length),
    before === after ? `${after}` : `${before} > ${after}`,
    fromTo(m.memoryMb).join(" > "),
    `${(m.stop.ms / 1000).toFixed(1)} s`,
  ];
}

/** What is not green or deserves a word. */
export function warningsOf({ cells, extras }: Grid): string[] {
  const name = (c: Cell | Extra) => ("name" in c ? c.name : `${c.row} / ${c.column}`);
  const grown = cells.flatMap((cell) => {
    const whole = measuredOf(cell)?.containerMb;
    if (!whole) return [];
    const [first, last] = [whole.first, whole.last].map((mb) => mb.toFixed(1));
    return [`${name(cell)}: the container by docker stats: ${first} > ${last} MB`];
  });
  const told = [...cells, ...extras].flatMap((c) => {
    const { outcome } = c;
    if (outcome.kind === "red") return outcome.faults.map((fault) => `FAILED ${name(c)}: ${fault}`);
    if (outcome.kind === "skipped") return [`skipped ${name(c)}: ${outcome.why}`];
    return "said" in outcome ? [`ok ${name(c)}: ${outcome.said}`] : [];
  });
  return [...grown, ...told];
}

export function countsOf({ cells, extras }: Grid): string {
  const kinds = [...cells, ...extras].map(({ outcome }) => outcome.kind);
  const count = (kind: string) => kinds.filter((k) => k === kind).length;
  return `${count("green")} ok, ${count("red")} failed, ${count("skipped")} skipped`;
}

/** Of all cells together. */
export function sumOf({ cells }: Grid): string {
  const measured = cells.flatMap((cell) => measuredOf(cell) ?? []);
  const sum = (of: (m: Measured) => number) => measured.reduce((total, m) => total + of(m), 0);
  const count = (n: number) => n.toLocaleString("en");
  const [requests, dropped, swaps] = [
    sum((m) => m.load.started),
    sum((m) => m.load.failed),
    sum((m) => m.swaps),
  ];
  return `${count(dropped)} of ${count(requests)} requests dropped in ${count(swaps)} deploys`;
}

/** Rows that follow one another and have the same name. */
export function groupsOf(cells: readonly Cell[]): Cell[][] {
  const groups: Cell[][] = [];
  for (const cell of cells) {
    const last = groups.at(-1);
    if (last?.[0]?.row === cell.row) last.push(cell);
    else groups.push([cell]);
  }
  return groups;
}

const WIDTH = 80;

export function renderText(grid: Grid): string {
  const lines = grid.cells.map((cell) => [cell.column, ...figuresOf(cell), verdictOf(cell)]);
  const head = ["server", ...FIGURES, ""];
  const widths = head.map((word, i) => Math.max(word.length, ...lines.map((line) => line[i]?.length ?? 0)));
  const figures = (words: string[]) =>
    words
      .map((word, i) =>
        0 < i && i <= FIGURES.length ? word.padStart(widths[i] ?? 0) : word.padEnd(widths[i] ?? 0),
      )
      .join("  ")
      .trimEnd();
  const table = groupsOf(grid.cells).flatMap((group) => [
    "",
    ...titleOf(group[0] as Cell).flatMap(folded),
    ...group.map((cell) => figures([cell.column, ...figuresOf(cell), verdictOf(cell)])),
  ]);
  const images = Object.entries(grid.images).map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`);
  const rest = [
    ...warningsOf(grid),
    ...(images.length > 0 ? [`images: ${images.join(", ")}`] : []),
    `engine: ${grid.engine}; base: ${grid.base}; ${Math.round(grid.seconds)} s`,
  ];
  const told = rest.flatMap(folded);
  // Nothing of cells where none was tried.
  if (grid.cells.length > 0) told.unshift(figures(head), ...table, "");
  const sum = grid.cells.length > 0 ? [sumOf(grid)] : [];
  return [...told, ...sum, countsOf(grid), ""].join("\n");
}

const titleOf = ({ row, deploy, leaves }: Cell): string[] => [
  `${row}: ${deploy}`,
  ...(leaves === undefined ? [] : [`  before docker stop: ${leaves}`]),
];

/** At spaces, what follows is indented; a word that is too long stays whole, and so do lines that are quoted. */
function folded(text: string): string[] {
  return text.split("\n").flatMap((line, i) => {
    if (i > 0) return [line];
    const out: string[] = [];
    let current = "";
    for (const word of line.match(/^ *\S+|\S+/g) ?? [""]) {
      const longer = current === "" ? word : `${current} ${word}`;
      if (longer.length <= WIDTH || current === "") current = longer;
      else {
        out.push(current);
        current = `  ${word}`;
      }
    }
    return [...out, current];
  });
}
