/** The words behind `bun run rig`. */
import { parseArgs } from "node:util";
import { COLUMNS, type Column, ROWS, type Row } from "./matrix.ts";

export interface Options {
  full: boolean;
  swaps: number;
  json: string | undefined;
  html: string | undefined;
  /** Only cells whose name has it. */
  only: string | undefined;
  help: boolean;
}

export const USAGE = `bun run rig [--full] [--swaps N] [--only TEXT] [--json FILE] [--html FILE]

Builds the images and tries real servers below real supervisors in real containers: load from one container, deploys in
another. Uses the running Docker engine; as root on Debian or Ubuntu it installs and starts one where there is none.

  --full        all supervisors with all servers, and the package by bunx and npx (else: gunicorn as PID 1, below
                --init and below supervisord)
  --swaps N     deploys in each cell (default 3)
  --only TEXT   only cells whose name, 'supervisor / server', has TEXT in it
  --json FILE   the results for a script
  --html FILE   the results as a page

Exit code: 0 all green, 1 some are not, 2 usage, 3 the rig could not be set up.
`;

/** Throws an Error with a line for people. */
export function readOptions(words: string[]): Options {
  const { values } = parseArgs({
    args: words,
    options: {
      full: { type: "boolean", default: false },
      swaps: { type: "string", default: "3" },
      json: { type: "string" },
      html: { type: "string" },
      only: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const swaps = Number(values.swaps);
  // Growth is told from the first swap to the last.
  if (!Number.isInteger(swaps) || swaps < 2 || swaps > 1000)
    throw new Error(`--swaps ${values.swaps} is no whole number from 2 to 1000`);
  return {
    full: values.full,
    swaps,
    json: values.json,
    html: values.html,
    only: values.only,
    help: values.help,
  };
}

/** As a program does: help and mistakes end it. */
export function optionsOf(words: string[]): Options {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exit(2);
  }
  if (!options.help) return options;
  console.log(USAGE);
  process.exit(0);
}

/** The cells that were asked for: all, some by name, or the short grid. */
export function wanted({ full, only }: Pick<Options, "full" | "only">): [Row, Column][] {
  const all = ROWS.flatMap((row) => COLUMNS.map((column): [Row, Column] => [row, column]));
  if (only !== undefined) return all.filter(([row, column]) => `${row.name} / ${column.name}`.includes(only));
  return all.filter(([row, column]) => full || (row.short && column === COLUMNS[0]));
}
