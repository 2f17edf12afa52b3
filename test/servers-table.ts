/**
 * The tables of what clients see, in src/servers/README.md: every installed server of the contract suite under as many fresh connections as
 * it answers, kept ones, uploads and slow requests, swapped a few times.
 *
 *     bun test/servers-table.ts [--any-command] [--go-on] [REGEX]
 *
 * measures the rows whose names match, all by default, and prints the tables. `--any-command`: commands as a user types them, with no
 * option, in place of the servers that an adapter knows. All rows measured, they are written there between their markers. It takes
 * about half an hour, and some minutes more to install and build what is new. TERM ends it, and `--go-on` keeps what an unfinished
 * run has measured.
 */
import { existsSync } from "node:fs";
import { release } from "node:os";
import { parseArgs } from "node:util";
import { measure, type Seen } from "./harness/contract.ts";
import { SERVERS_README, withPart } from "./readme.ts";
import { ANY_COMMAND } from "./setup/any-command.ts";
import { buildServers } from "./setup/build-servers.ts";
import { installServers } from "./setup/install-servers.ts";
import { CACHE } from "./setup/places.ts";
import type { ServerRow, Transport } from "./setup/server-row.ts";
import { isInstalled, KNOWN, versionOf } from "./setup/servers.ts";

const SWAPS = 6;
/** Most of a swap's time is waiting. */
const AT_ONCE = 3;
/** Seconds of --drain-until-idle; "0" sends the stop signal right after the warm-up. */
const DRAIN = { yes: "2", no: "0" } as const;
/** Of kept connections: closed this often is not about swaps, but how the server ends every answer. */
const CLOSES_ALWAYS = 0.1;

/** What the words in the cells mean; the reasons were looked up in the logs of the cells. */
const NOTES = `*cannot*: granian, Deno.serve and Bun.serve bind a path of their own, which no other process can share; daphne shuts a
shared Unix socket down at its exit. *Closes each*: no keep-alive in the first place.`;

type Cell = Seen | { reason: string };
type Column = `${"steer" | "share"} ${Transport}` | `steer ${Transport} 0 ${"close" | "auto" | "adopt"}`;
const STEERED: readonly Column[] = ["steer unix", "steer tcp"];
/** How a server stops has nothing to do with where it listens: one transport is enough. */
const withoutDrain = (server: ServerRow): Column => `steer ${server.transports.at(-1) ?? "unix"} 0 close`;
/** Its kept connections live on; those of a Unix socket, of which less is known, only if that is asked for. */
const [AUTO, ADOPT]: readonly [Column, Column] = ["steer tcp 0 auto", "steer unix 0 adopt"];

const isSeen = (cell: Cell | undefined): cell is Seen => cell !== undefined && "sent" in cell;

const { values: wanted, positionals } = parseArgs({
  options: {
    "any-command": { type: "boolean", default: false },
    "go-on": { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const isAny = wanted["any-command"];
const COLUMNS: readonly Column[] = isAny ? STEERED : [...STEERED, "share unix", "share tcp"];
const [filter] = positionals;
installServers({ forTable: true });
await buildServers({ forTable: true });
const rows = (isAny ? ANY_COMMAND : KNOWN).filter(({ name }) => new RegExp(filter ?? "", "i").test(name));
const installed = rows.filter(isInstalled);

const KEPT = `${CACHE}/${isAny ? "any-command" : "servers"}-table.json`;
/** What could not be measured is tried again. */
const results: Record<string, Cell> = Object.fromEntries(
  wanted["go-on"] && existsSync(KEPT)
    ? Object.entries((await Bun.file(KEPT).json()) as Record<string, Cell>).filter(([, cell]) => isSeen(cell))
    : [],
);
const key = (server: ServerRow, column: Column) => `${server.name}, ${column}`;
const cellOf = (server: ServerRow, column: Column): Cell | undefined => results[key(server, column)];

const jobs = installed.flatMap((server) =>
  [...COLUMNS, ...(isAny ? [] : [withoutDrain(server), ...(server.front ? [] : [AUTO, ADOPT])])]
    .filter((column) => server.transports.includes(column.split(" ")[1] as Transport))
    .filter((column) => cellOf(server, column) === undefined)
    .map((column) => ({ server, column })),
);

const ending = new AbortController();
process.once("SIGTERM", () => ending.abort());

async function work(): Promise<void> {
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    const { server, column } = job;
    const cell = await look(server, column);
    // The signal may have reached the servers, too, as those of timeout(1) and of a terminal do.
    if (ending.signal.aborted) return;
    results[key(server, column)] = cell;
    await Bun.write(KEPT, JSON.stringify(results));
    console.error(`${key(server, column)}: ${JSON.stringify({ ...cell, log: undefined })}`);
  }
}

async function look(server: ServerRow, column: Column): Promise<Cell> {
  const [cutover, transport, drain, keptConnections = "close"] = column.split(" ") as [
    "steer" | "share",
    Transport,
    string?,
    string?,
  ];
  try {
    return await measure({
      ...{ server, transport, cutover, swaps: SWAPS, load: "closed loops" },
      ...{ drainUntilIdle: drain ?? DRAIN.yes, keptConnections },
    });
  } catch (error) {
    // In share some servers cannot even be handed the socket: the table says so with hupwatch's own words.
    return { reason: (error as Error).message };
  }
}

const total = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
const number = (n: number) => n.toLocaleString("en");

function dropped(cell: Cell | undefined): string {
  if (cell === undefined) return "–";
  if (!isSeen(cell)) return "cannot";
  return `${total(cell.dropped) + total(cell.keptOtherwise)} of ${number(cell.sent)}`;
}

/** Of requests that were in flight, and of kept connections that were closed instead of answering. */
function slow(cells: Seen[]): string {
  const asked = cells.reduce((sum, cell) => sum + cell.slow, 0);
  if (asked === 0) return "–";
  return `${cells.reduce((sum, cell) => sum + total(cell.cut), 0)} of ${number(asked)}`;
}

function kept(server: ServerRow, cells: Seen[]): string {
  // Its front keeps connections, not it.
  if (server.front || cells.length === 0) return "–";
  const asked = cells.reduce((sum, cell) => sum + cell.kept, 0);
  const raced = cells.reduce((sum, cell) => sum + total(cell.races), 0);
  return raced > asked * CLOSES_ALWAYS ? "closes each" : `${raced} of ${number(asked)}`;
}

const rowOf = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

const droppedLine = (server: ServerRow): string =>
  rowOf([server.name, versionOf(server), ...COLUMNS.map((column) => dropped(cellOf(server, column)))]);

function drainLine(server: ServerRow): string {
  const seen = (columns: readonly Column[]) => columns.map((column) => cellOf(server, column)).filter(isSeen);
  const [waited, not] = [seen(STEERED), seen([withoutDrain(server)])];
  const closed = [waited, not, seen([AUTO]), seen([ADOPT])].map((cells) => kept(server, cells));
  return rowOf([server.name, slow(waited), slow(not), ...closed]);
}

function anyLine(server: ServerRow): string {
  const cells = STEERED.map((column) => cellOf(server, column));
  return rowOf([server.name, versionOf(server), ...cells.map(dropped), slow(cells.filter(isSeen))]);
}

const count = jobs.length;
const before = Object.keys(results).length;
await Promise.all(Array.from({ length: AT_ONCE }, work));
const unfinished = count + before - Object.keys(results).length;
if (unfinished > 0) {
  console.error(`${unfinished} cells are not measured: go on with --go-on`);
  process.exit(1);
}

/** How often a client was answered by a generation, and then by an older one. */
function wentBack(cutover: "steer" | "share"): string {
  const cells = installed.flatMap((server) =>
    COLUMNS.filter((column) => column.startsWith(cutover)).map((column) => cellOf(server, column)),
  );
  const seen = cells.filter(isSeen);
  const sum = (of: (cell: Seen) => number) => number(seen.reduce((all, cell) => all + of(cell), 0));
  return `${sum((cell) => cell.wentBack)} of ${sum((cell) => cell.sent)}`;
}

const missing = rows.filter((row) => !isInstalled(row)).map(({ name }) => name);
const known = () => [
  rowOf(["server", "version", "dropped, Unix", "dropped, TCP", "shared, Unix", "shared, TCP"]),
  rowOf(Array(6).fill("---")),
  ...installed.map(droppedLine),
  "",
  rowOf([
    "server, steered",
    "slow cut",
    "without drain",
    "kept closed",
    "without drain",
    "`auto`, TCP",
    "`adopt`, Unix",
  ]),
  rowOf(Array(7).fill("---")),
  ...installed.map(drainLine),
  "",
  `Older answers after newer ones: ${wentBack("steer")} steered, ${wentBack("share")} shared.`,
];
const any = () => [
  rowOf(["behind `hupwatch --`", "version", "dropped, Unix", "dropped, TCP", "slow cut"]),
  rowOf(Array(5).fill("---")),
  ...installed.map(anyLine),
  "",
  `Older answers after newer ones: ${wentBack("steer")}.`,
];
const table = [
  ...(isAny ? any() : known()),
  `${SWAPS} swaps in each cell; Linux ${/^\d+\.\d+/.exec(release())?.[0]}, ${navigator.hardwareConcurrency} cores.`,
  ...(isAny ? [] : ["", NOTES]),
  ...(missing.length > 0 ? [`Not installed here and so not measured: ${missing.join(", ")}.`] : []),
].join("\n");
console.log(table);

if (filter === undefined) {
  const text = await Bun.file(SERVERS_README).text();
  const part = isAny ? "any-command" : "servers";
  await Bun.write(SERVERS_README, withPart(text, part, `\n\n${table}\n\n`));
}
process.exit(0);
