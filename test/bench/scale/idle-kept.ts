/** Idle connections that clients keep, all of them through one swap: how many live on, how long it takes, and what it costs. */
import { count } from "../../../fixtures/demo/text.ts";
import { freePort } from "../../harness/free-port.ts";
import { startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { connectAll, roomFor, tally } from "./asking-clients.ts";
import { cpuMsOf } from "./usage.ts";

/** Behind the swap: the last one's turn must come before its connection is closed for silence, on a machine that does much else, too. */
const BATCH_BEHIND = 1000;
/** The relay, which inherits the limit, has both sides of each. */
const RELAYED = 2;
/** Of their own stop signal, not of their connections. */
const BUDGET = { lost: 0, cpuMsPerThousand: 100 };

export async function idleKept(wanted: number): Promise<Row[]> {
  using room = roomFor(wanted, { each: RELAYED });
  const { size } = room;
  const port = await freePort();
  await using light = await startLight(() => [
    ...["-w", "0", "-b", `127.0.0.1:${port}`, "--ready", "delay:0", "--drain-until-idle", "0"],
    ...["--kept-connections", "adopt", "--", process.execPath, `${import.meta.dir}/idle-server.ts`],
  ]);
  const { clients, answers } = await connectAll({ hostname: "127.0.0.1", port }, size);
  const first = tally(answers);
  const before = cpuMsOf(light.hupwatch.pid);
  const fromMs = performance.now();
  await light.swap();
  const tookMs = performance.now() - fromMs;
  const cpuMs = cpuMsOf(light.hupwatch.pid) - before;
  const second: string[] = [];
  const goneMs = performance.now();
  for (let at = 0; at < size; at += BATCH_BEHIND)
    second.push(...(await Promise.all(clients.slice(at, at + BATCH_BEHIND).map((client) => client.ask()))));
  const askedMs = performance.now() - goneMs;
  for (const client of clients) client.end();
  const lost = second.filter((answer) => answer !== "2").length;
  return [
    {
      what: `lost of ${count(size)} idle kept connections through one swap (TCP${size < wanted ? "; no more descriptors here" : ""})`,
      budget: `${BUDGET.lost}`,
      measured: `${count(lost)} (answers ${first} before, ${tally(second)} behind; ${(tookMs / 1000).toFixed(1)} s from HUP to the old one's end, asked within ${(askedMs / 1000).toFixed(1)} s)`,
      met: lost === BUDGET.lost,
    },
    {
      what: "hupwatch's CPU for each 1,000 of them",
      budget: `<= ${BUDGET.cpuMsPerThousand} ms`,
      measured: `${((1000 * cpuMs) / size).toFixed(1)} ms`,
      met: (1000 * cpuMs) / size <= BUDGET.cpuMsPerThousand,
    },
  ];
}
