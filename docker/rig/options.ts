/** The words behind `bun run rig`. */
import { parseArgs } from "node:util";
import type { Column } from "./columns.ts";
import { CELLS, isInShortGrid, type Row } from "./matrix.ts";

export interface Options {
  full: boolean;
  /** A fleet in place of the grid. */
  fleet: boolean;
  swaps: number;
  /** Cells at a time. */
  jobs: number;
  json: string | undefined;
  html: string | undefined;
  /** Only cells whose name has one of these. */
  only: string[] | undefined;
  help: boolean;
}

export const USAGE = `bun run rig [--full | --fleet] [--swaps N] [--jobs N] [--only TEXT] [--json FILE] [--html FILE]

Builds the images and tries real servers below real supervisors in real containers: load from one container, deploys in
another. Uses the running Docker engine; as root on Debian or Ubuntu it installs and starts one where there is none.

  --full        all supervisors with all servers, and the package by bunx and npx (else: gunicorn as PID 1, below
                --init and below supervisord)
  --fleet       in place of all that: HAProxy before eight hosts in network namespaces of this machine, and deploys by
                Ansible over ssh: good and broken ones, two at once, a host that dies; the same in short by Salt; Swarm
                (--only 'Salt: (b)' and the like)
  --swaps N     deploys in each cell (default 3)
  --jobs N      cells at a time (default 2)
  --only TEXT   only cells whose name, 'supervisor / server', has TEXT in it (repeats)
  --json FILE   the results for a script
  --html FILE   the results as a page

Exit code: 0 all green, 1 some are not or cannot be built, 2 usage, 3 no engine or no base image can be had here.
`;

/** Throws an Error with a line for people. */
export function readOptions(words: string[]): Options {
  const { values } = parseArgs({
    args: words,
    options: {
      full: { type: "boolean", default: false },
      fleet: { type: "boolean", default: false },
      swaps: { type: "string", default: "3" },
      jobs: { type: "string", default: "2" },
      json: { type: "string" },
      html: { type: "string" },
      only: { type: "string", multiple: true },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return {
    full: values.full,
    fleet: values.fleet,
    // Growth is told from the first swap to the last.
    swaps: whole("--swaps", values.swaps, 2, 1000),
    jobs: whole("--jobs", values.jobs, 1, 64),
    json: values.json,
    html: values.html,
    only: values.only,
    help: values.help,
  };
}

function whole(option: string, value: string, min: number, max: number): number {
  const number = Number(value);
  if (Number.isInteger(number) && min <= number && number <= max) return number;
  throw new Error(`${option} ${value} is no whole number from ${min} to ${max}`);
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
export function wanted({
  full,
  only,
}: {
  full: boolean;
  only?: string[] | undefined;
}): (readonly [Row, Column])[] {
  const isNamed = ([row, column]: readonly [Row, Column]) =>
    only?.some((text) => `${row.name} / ${column.name}`.includes(text));
  if (only) return CELLS.filter(isNamed);
  return full ? [...CELLS] : CELLS.filter(isInShortGrid);
}
