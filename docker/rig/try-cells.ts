/** Tries cells one after the other, wherever they are started, and says how it goes. */
import { measureCell } from "./cell.ts";
import type { Column } from "./columns.ts";
import type { Cell, Outcome } from "./grid.ts";
import type { Row } from "./matrix.ts";
import type { Place } from "./place.ts";
import { CACHE } from "./places.ts";
import { faultsOf } from "./verdict.ts";

export interface Ground {
  start(row: Row, column: Column): Promise<Place>;
  /** Why a cell cannot be tried there; undefined where it can. */
  whyNot(row: Row, column: Column): string | undefined;
}

type Say = (line: string) => void;

/** So many at a time; what comes of each goes to its place among the tried. */
export async function tryCells(
  cells: readonly (readonly [Row, Column])[],
  ground: Ground,
  { swaps, jobs }: { swaps: number; jobs: number },
  say: Say,
  tried: Cell[],
): Promise<void> {
  const waiting = cells.entries();
  const work = async () => {
    for (const [i, [row, column]] of waiting) {
      const name = `${i + 1}/${cells.length} ${row.name} / ${column.name}`;
      tried[i] = await tryCell(row, column, ground, row.swaps ?? swaps, (line) => say(`${name}: ${line}`));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
}

async function tryCell(row: Row, column: Column, ground: Ground, swaps: number, say: Say): Promise<Cell> {
  const from = performance.now();
  const outcome = await outcomeOf(ground, row, column, swaps, say);
  const seconds = (performance.now() - from) / 1000;
  say(`${inShort(outcome)}, ${seconds.toFixed(0)} s`);
  if (outcome.kind === "red") say(outcome.faults.join("\n"));
  const { name, deploy, leaves } = row;
  const cell = { row: name, column: column.name, deploy, outcome, seconds };
  return leaves === undefined ? cell : { ...cell, leaves };
}

function inShort(outcome: Outcome): string {
  if (outcome.kind === "skipped") return `skipped, ${outcome.why}`;
  const { measured: m } = outcome;
  const dropped = m ? `, ${m.load.failed} of ${m.load.started} dropped in ${m.swaps} swaps` : "";
  return `${outcome.kind === "green" ? "ok" : "FAILED"}${dropped}`;
}

const LOG_TAIL = 3000;
/** A cell with more says now and then how far it is. */
const FEW_SWAPS = 10;

async function outcomeOf(
  ground: Ground,
  row: Row,
  column: Column,
  swaps: number,
  say: Say,
): Promise<Outcome> {
  const why = ground.whyNot(row, column);
  if (why !== undefined) return { kind: "skipped", why };
  const said = (error: unknown) => (error instanceof Error ? error.message : String(error));
  try {
    await using place = await ground.start(row, column);
    const logged = async () => {
      const file = `${CACHE}/${`${row.name} ${column.name}`.replaceAll(/\W+/g, "-")}.log`;
      const log = await place.log().catch(said);
      await Bun.write(file, log);
      // What a server says of every request would leave no room for the rest.
      const lines = log.split("\n").filter((line) => !/\bGET \//.test(line));
      return `the end of its log\n${lines.join("\n").slice(-LOG_TAIL)}\nThe whole log: ${file}`;
    };
    try {
      const measured = await measureCell(place, row, column, swaps, (swap) => {
        if (swap % FEW_SWAPS === 0) say(`swap ${swap} of ${swaps}`);
      });
      const faults = faultsOf(measured);
      if (faults.length === 0) return { kind: "green", measured };
      return { kind: "red", faults: [...faults, await logged()], measured };
    } catch (error) {
      return { kind: "red", faults: [said(error), await logged()] };
    }
  } catch (error) {
    return { kind: "red", faults: [said(error)] };
  }
}
