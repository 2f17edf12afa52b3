/**
 * The README's table of what clients see: every installed server of the contract suite under as many fresh connections as
 * it answers, kept ones, uploads and slow requests, swapped a few times.
 *
 *     bun test/servers-table.ts [REGEX]     measures the rows whose names match, all by default, and prints the table
 *
 * All rows measured, it is written into the README between its markers. Takes about ten minutes.
 */
import { release } from "node:os";
import { measure, type Seen } from "./harness/contract.ts";
import { README } from "./readme.ts";
import { isInstalled, SERVERS, type ServerRow, type Transport, versionOf } from "./setup/servers.ts";

const SWAPS = 3;
const AT_ONCE = 2;
/** Of kept connections: closed this often is not about swaps, but how the server ends every answer. */
const CLOSES_ALWAYS = 0.1;

/** What the words in the cells mean; the reasons were looked up in the logs of the cells. */
const NOTES = `*cannot*: granian binds a path of its own, which nobody else can share; daphne unlinks the path of a shared Unix socket at
its exit; of nginx one request stayed unanswered in one run of three, which is not understood yet. *Closes each*: no keep-alive in the first place.`;

type Cell = Seen | { reason: string };
type Column = `${"steer" | "share"} ${Transport}`;
const COLUMNS: readonly Column[] = ["steer unix", "steer tcp", "share unix", "share tcp"];

const filter = process.argv[2];
const rows = SERVERS.filter(({ name }) => new RegExp(filter ?? "", "i").test(name));
const installed = rows.filter(isInstalled);
const results = new Map<ServerRow, Map<Column, Cell>>(installed.map((row) => [row, new Map()]));

const jobs = installed.flatMap((server) =>
  COLUMNS.filter((column) => server.transports.includes(column.split(" ")[1] as Transport)).map((column) => ({
    server,
    column,
  })),
);

async function work(): Promise<void> {
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    const { server, column } = job;
    const [cutover, transport] = column.split(" ") as ["steer" | "share", Transport];
    const cell = await look(server, transport, cutover);
    results.get(server)?.set(column, cell);
    console.error(`${server.name}, ${column}: ${JSON.stringify({ ...cell, log: undefined })}`);
  }
}

async function look(server: ServerRow, transport: Transport, cutover: "steer" | "share"): Promise<Cell> {
  try {
    return await measure({
      ...{ server, transport, cutover, swaps: SWAPS },
      ...{ load: "closed loops", drainUntilIdle: "2" },
    });
  } catch (error) {
    // In share some servers cannot even be handed the socket: the table says so with hupwatch's own words.
    return { reason: (error as Error).message };
  }
}

const total = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
const isSeen = (cell: Cell | undefined): cell is Seen => cell !== undefined && "sent" in cell;
const number = (n: number) => n.toLocaleString("en");

function dropped(cell: Cell | undefined): string {
  if (cell === undefined) return "–";
  if (!isSeen(cell)) return "cannot";
  return `${total(cell.dropped) + total(cell.keptOtherwise)} of ${number(cell.sent)}`;
}

function slow(cells: Seen[]): string {
  const asked = cells.reduce((sum, cell) => sum + cell.slow, 0);
  if (asked === 0) return "–";
  return `${cells.reduce((sum, cell) => sum + total(cell.cut), 0)} of ${number(asked)}`;
}

function kept(cells: Seen[]): string {
  const asked = cells.reduce((sum, cell) => sum + cell.kept, 0);
  const raced = cells.reduce((sum, cell) => sum + total(cell.races), 0);
  return raced > asked * CLOSES_ALWAYS ? "closes each" : `${raced} of ${number(asked)}`;
}

function line(server: ServerRow): string {
  const cells = results.get(server);
  const steered = [cells?.get("steer unix"), cells?.get("steer tcp")].filter(isSeen);
  const columns = COLUMNS.map((column) => dropped(cells?.get(column)));
  return `| ${[server.name, versionOf(server), ...columns, slow(steered), kept(steered)].join(" | ")} |`;
}

await Promise.all(Array.from({ length: AT_ONCE }, work));

const missing = rows.filter((row) => !isInstalled(row)).map(({ name }) => name);
const table = [
  `| server | version | dropped, Unix | dropped, TCP | shared, Unix | shared, TCP | slow cut | kept closed |`,
  `| --- | --- | --- | --- | --- | --- | --- | --- |`,
  ...installed.map(line),
  "",
  `${SWAPS} swaps each; Linux ${/^\d+\.\d+/.exec(release())?.[0]}, ${navigator.hardwareConcurrency} cores.`,
  "",
  NOTES,
  ...(missing.length > 0 ? [`Not installed here and so not measured: ${missing.join(", ")}.`] : []),
].join("\n");
console.log(table);

if (filter === undefined) {
  const [open, close] = ["<!-- servers -->", "<!-- /servers -->"];
  const text = await Bun.file(README).text();
  const [from, to] = [text.indexOf(open), text.indexOf(close)];
  if (from < 0 || to < 0) throw new Error("README.md has no part 'servers'");
  await Bun.write(README, `${text.slice(0, from + open.length)}\n\n${table}\n\n${text.slice(to)}`);
}
process.exit(0);
