/** Two pictures that need no script: the phases of each swap from its HUP, and the time in which each version answered. */
import { escaped } from "../escape.ts";
import type { VersionSpan } from "../figures.ts";
import type { Swap } from "../journal.ts";
import { ms } from "../words.ts";

const WIDTH = 1000;
const LEFT = 90;
const RIGHT = 30;
const AXIS = 26;
/** Rows beyond it are left out, and that is said. */
const ROWS_MAX = 200;

interface Bar {
  from: number;
  to: number;
  css: string;
  title: string;
}

interface Row {
  label: string;
  css: string;
  bars: Bar[];
}

export function swapTimeline(swaps: readonly Swap[]): string {
  return drawn(swaps.map(rowOf), "phases of each swap, from the signal on");
}

function rowOf(swap: Swap): Row {
  const at = (value: number | undefined) => (value === undefined ? undefined : value - swap.startMs);
  const [exec, ready, decided, stop, end] = [
    swap.execMs,
    swap.readyMs,
    swap.decidedMs,
    swap.stopMs,
    swap.endMs,
  ].map(at);
  const bars: Bar[] = [];
  const bar = (from: number | undefined, to: number | undefined, css: string, what: string) => {
    if (from === undefined || to === undefined) return;
    bars.push({ from, to, css, title: `${what}: ${ms(to - from)}` });
  };
  bar(0, exec, "exec", "HUP to exec");
  bar(exec ?? 0, ready ?? decided ?? end, "boot", exec === undefined ? "reload" : "boots");
  bar(
    ready,
    decided ?? end,
    decided === undefined ? "drain" : "warm",
    decided === undefined ? "settles" : "both serve",
  );
  bar(decided, stop ?? end, "idle", "no signal while it holds connections");
  bar(stop, end, "drain", swap.outcome === "swapped" ? "the old one ends" : "the new one ends");
  const name = swap.kind === "swap" ? `${swap.from ?? "?"} → ${swap.to ?? "?"}` : swap.kind;
  const mark = { swapped: "", "rolled-back": " ↩", failed: " ✗" }[swap.outcome];
  return { label: `${name}${mark}`, css: unwanted(swap) ? "failed" : "", bars };
}

/** An accident is rolled back as it should be. */
const unwanted = ({ kind, outcome }: Swap) =>
  outcome === "failed" || (kind === "swap" && outcome === "rolled-back");

export function versionTimeline(spans: readonly VersionSpan[], untilMs: number): string {
  const rows = spans.map((span): Row => {
    const title = `version ${span.version}: ${span.count.toLocaleString("en-US")} answers, ${ms(span.lastMs - span.firstMs)}`;
    return {
      label: span.version.length > 12 ? `${span.version.slice(0, 11)}…` : span.version,
      css: "",
      bars: [{ from: span.firstMs, to: span.lastMs, css: "version", title }],
    };
  });
  return drawn(rows, "versions by time", untilMs);
}

function drawn(rows: readonly Row[], title: string, atLeast = 0): string {
  if (rows.length === 0) return "";
  const shown = rows.slice(0, ROWS_MAX);
  const high = shown.length > 60 ? 9 : shown.length > 25 ? 14 : 22;
  const most = Math.max(1, atLeast, ...shown.flatMap((row) => row.bars.map((bar) => bar.to)));
  const x = (value: number) => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const height = shown.length * high + AXIS;
  const parts = ticks(most).map(
    (value) =>
      `<line class="grid" x1="${x(value).toFixed(1)}" x2="${x(value).toFixed(1)}" y1="0" y2="${height - AXIS + 4}"/>` +
      `<text class="tick" x="${x(value).toFixed(1)}" y="${height - 6}">${most < 10_000 ? `${value} ms` : `${value / 1000} s`}</text>`,
  );
  // Small rows: a label for every fifth only.
  const every = high < 12 ? 5 : 1;
  for (const [i, row] of shown.entries()) {
    const y = i * high;
    if (i % every === 0)
      parts.push(
        `<text class="label ${row.css}" x="${LEFT - 8}" y="${y + high / 2}">${escaped(row.label)}</text>`,
      );
    for (const bar of row.bars) {
      const width = Math.max(1.5, x(bar.to) - x(bar.from));
      parts.push(
        `<rect class="${bar.css}" x="${x(bar.from).toFixed(1)}" y="${y + 2}" width="${width.toFixed(1)}" height="${high - 4}" rx="2">` +
          `<title>${escaped(bar.title)}</title></rect>`,
      );
    }
  }
  const rest = rows.length > ROWS_MAX ? `<p class="note">The first ${ROWS_MAX} of ${rows.length}.</p>` : "";
  return `<div class="scroll"><svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">${parts.join("")}</svg></div>${rest}`;
}

/** Five or so round values from zero on. */
function ticks(most: number): number[] {
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}
