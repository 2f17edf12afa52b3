/** Tries one cell, wherever it is started, and says how it went. */
import { measureCell } from "./cell.ts";
import type { Cell, Outcome } from "./grid.ts";
import type { Column, Row } from "./matrix.ts";
import type { Place } from "./place.ts";
import { faultsOf } from "./verdict.ts";

export type Start = (row: Row, column: Column) => Promise<Place>;

export async function tryCell(
  start: Start,
  row: Row,
  column: Column,
  swaps: number,
  say: (line: string) => void,
): Promise<Cell> {
  const from = performance.now();
  const outcome = await outcomeOf(start, row, column, swaps);
  const seconds = (performance.now() - from) / 1000;
  say(`${row.name} / ${column.name}: ${outcome.kind}, ${seconds.toFixed(0)} s`);
  if (outcome.kind === "red") say(outcome.faults.join("\n"));
  return { row: row.name, column: column.name, typed: row.typed, outcome, seconds };
}

const LOG_TAIL = 3000;

async function outcomeOf(start: Start, row: Row, column: Column, swaps: number): Promise<Outcome> {
  const said = (error: unknown) => (error instanceof Error ? error.message : String(error));
  try {
    await using place = await start(row, column);
    try {
      const measured = await measureCell(place, row, column, swaps);
      const faults = faultsOf(measured);
      return faults.length > 0 ? { kind: "red", faults, measured } : { kind: "green", measured };
    } catch (error) {
      return { kind: "red", faults: [`${said(error)}\n${(await place.log()).slice(-LOG_TAIL)}`] };
    }
  } catch (error) {
    return { kind: "red", faults: [said(error)] };
  }
}
