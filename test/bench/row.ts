/** One line of the budget table, and the table. */
export interface Row {
  what: string;
  budget: string;
  measured: string;
  /** Undefined: there is nothing to hold it against here, `measured` says why. */
  met: boolean | undefined;
}

export function renderRows(rows: readonly Row[]): string {
  const cells = rows.map(({ what, budget, measured, met }) => [
    what,
    budget,
    measured,
    met === undefined ? "-" : met ? "yes" : "NO",
  ]);
  const all = [["what", "budget", "measured", "met"], ...cells];
  const widths = [0, 1, 2, 3].map((i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const line = (row: string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  const [head = [], ...body] = all;
  return [line(head), rule, ...body.map(line)].join("\n");
}

export const ms = (n: number): string => `${n.toFixed(n < 10 ? 1 : 0)} ms`;
