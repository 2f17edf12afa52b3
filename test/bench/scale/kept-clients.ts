/**
 * The clients of test/e2e/kept-clients.test.ts, and oha, through many swaps: for each what it lost, and what was executed twice. One that
 * is not installed has a row, too.
 */
import { count } from "../../../fixtures/demo/text.ts";
import { clientsThroughSwaps, KEPT_SERVERS, type KeptServer } from "../../harness/clients-through-swaps.ts";
import { ALL_CLIENTS, FRONTS } from "../../harness/real-clients.ts";
import type { Row } from "../row.ts";

/** `auto` keeps none of a Unix socket. */
const WAYS = [
  { family: "tcp", mode: "auto", clients: ALL_CLIENTS },
  { family: "unix", mode: "adopt", clients: FRONTS },
] as const;
const NOT_THERE = "not installed (oha: bun test/setup/oha.ts)";
type Way = (typeof WAYS)[number];

export async function keptClients(swaps: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const server of KEPT_SERVERS)
    for (const way of WAYS) rows.push(...(await through(server, way, swaps)));
  return rows;
}

async function through(server: KeptServer, way: Way, swaps: number): Promise<Row[]> {
  const { family, mode } = way;
  const clients = way.clients.filter((client) => client.isThere());
  const seen = await clientsThroughSwaps({ server, family, mode, clients, swaps });
  return way.clients.map(({ name }) => {
    const what = `${name}: posts lost or executed twice, ${swaps} swaps of ${server}, ${family}, ${mode}`;
    const posted = seen.clients[name];
    if (!posted) return { what, budget: "0", measured: NOT_THERE, met: undefined };
    const lost = Object.entries(posted.lost).map(([error, n]) => `${n} x ${error}`);
    const twice = seen.executedTwice.filter((id) => id.startsWith(`${name}-`)).length;
    const measured = `${lost.join(", ") || "0"} of ${count(posted.answered)}, ${twice} twice`;
    return { what, budget: "0", measured, met: lost.length === 0 && twice === 0 };
  });
}
