/** The clients of test/e2e/kept-clients.test.ts through many swaps: what they lose, and what is executed twice. */
import { count } from "../../../fixtures/demo/text.ts";
import { clientsThroughSwaps, KEPT_SERVERS, type KeptServer } from "../../harness/clients-through-swaps.ts";
import { FRONTS, REAL_CLIENTS } from "../../harness/real-clients.ts";
import type { Row } from "../row.ts";

const FAMILIES = ["tcp", "unix"] as const;

export async function keptClients(swaps: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const server of KEPT_SERVERS)
    for (const family of FAMILIES) rows.push(await through(server, family, swaps));
  return rows;
}

async function through(server: KeptServer, family: (typeof FAMILIES)[number], swaps: number): Promise<Row> {
  const clients = (family === "tcp" ? REAL_CLIENTS : FRONTS).filter((client) => client.isThere());
  const seen = await clientsThroughSwaps({ server, family, clients, swaps });
  const posted = Object.entries(seen.clients);
  const sent = posted.reduce((sum, [, { answered }]) => sum + answered, 0);
  const lost = posted.flatMap(([name, report]) =>
    Object.entries(report.lost).map(([what, n]) => `${name}: ${n} x ${what}`),
  );
  const twice = seen.executedTwice.length;
  return {
    what: `posts of ${posted.map(([name]) => name).join(", ")} lost or executed twice, ${swaps} swaps of ${server}, ${family}`,
    budget: "0",
    measured: `${lost.join(", ") || "0"} of ${count(sent)}, ${twice} twice`,
    met: lost.length === 0 && twice === 0,
  };
}
