/** An earlier report beside this run: which figures got worse, and by how much. Pure. */

/** Smaller is better in each; null where it was not measured. */
export interface KeyFigures {
  droppedPerMillion: number | null;
  p99InSwapsUs: number | null;
  p999InSwapsUs: number | null;
  longestGapMs: number | null;
  signalToReadyMs: number | null;
}

export type FigureName = keyof KeyFigures;

export interface Comparison {
  figure: FigureName;
  before: number;
  now: number;
  /** `now` over `before`; null where there was nothing before and something now. */
  ratio: number | null;
}

/** Out of a report's JSON; undefined where it is none of ours, or one from before it had them. */
export function keyFiguresIn(report: unknown): KeyFigures | undefined {
  const { schema, figures } = Object(report) as { schema?: unknown; figures?: KeyFigures };
  return schema === "hupwatch-verify/1" && typeof figures === "object" ? figures : undefined;
}

/** Those that both have. */
export function compared(before: KeyFigures, now: KeyFigures): Comparison[] {
  return (Object.keys(now) as FigureName[]).flatMap((figure) => {
    const [a, b] = [before[figure], now[figure]];
    if (typeof a !== "number" || typeof b !== "number") return [];
    return [{ figure, before: a, now: b, ratio: a > 0 ? b / a : b > 0 ? null : 1 }];
  });
}
