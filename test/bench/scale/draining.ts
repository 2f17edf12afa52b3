/**
 * An old generation drains: whether its clients are still connected is asked of the kernel again and again, on a machine that is full of
 * sockets of others.
 */
import { readdirSync, readFileSync } from "node:fs";
import { count } from "../../../fixtures/demo/text.ts";
import { waitFor } from "../../../fixtures/demo/wait.ts";
import { freePort } from "../../harness/free-port.ts";
import { type Light, startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { type AskingClient, connectAll, roomFor, type To, tally } from "./asking-clients.ts";
import { Crowd } from "./crowd.ts";
import { cpuMsIn, memoryOf, msOf } from "./usage.ts";

const DRAIN_MS = 11_000;
const TURNS_MS = 5000;
const STEPS = 10;
/** The collector runs 5 s after the last event; from then on nothing is done but to look. */
const CALM_MS = 7000;
const READY_MS = 60_000;
const BUDGET = { cpuMs: 120, grownMb: 3, turnMs: 10 };
const FAMILIES = ["TCP", "Unix"] as const;
type Family = (typeof FAMILIES)[number];

/** `wanted` clients of each family, and five times as many sockets of others. */
export async function draining(wanted: number): Promise<Row[]> {
  using room = roomFor(wanted);
  const others = 5 * room.size;
  await using _crowd = await Crowd.ofSockets(others);
  const rows: Row[] = [];
  for (const family of FAMILIES)
    rows.push(...rowsOf(family, room.size, others, await course(family, room.size)));
  return rows;
}

interface Drained {
  cpuMs: number;
  grownMb: number;
  turnMs: number;
  /** While nobody drains. */
  idleTurnMs: number;
}

const rowsOf = (family: Family, size: number, others: number, drained: Drained): Row[] => {
  const { cpuMs, grownMb, turnMs, idleTurnMs } = drained;
  return [
    row(
      `CPU of ${DRAIN_MS / 1000} s of drain, ${count(size)} ${family} clients, ${count(others)} sockets of others`,
      ...([cpuMs, "ms", BUDGET.cpuMs] as const),
    ),
    row("  private memory that is left of it", grownMb, "MB", BUDGET.grownMb),
    row(
      `  CPU of the longest turn of the event loop while they leave, more than the ${idleTurnMs.toFixed(1)} ms while nobody drains`,
      ...([turnMs - idleTurnMs, "ms", BUDGET.turnMs] as const),
    ),
  ];
};

const row = (what: string, value: number, unit: string, budget: number): Row => ({
  what,
  budget: `<= ${budget} ${unit}`,
  measured: `${value.toFixed(1)} ${unit}`,
  met: value <= budget,
});

async function course(family: Family, size: number): Promise<Drained> {
  const port = await freePort();
  await using light = await startLight(({ socket }) => [
    ...["-w", "0", "-b", family === "TCP" ? `127.0.0.1:${port}` : `unix:${socket}`, "--ready", "delay:0"],
    ...["--drain-until-idle", "10m", "--kept-connections", "close"],
    ...["--", process.execPath, `${import.meta.dir}/idle-server.ts`],
  ]);
  const { hupwatch, place } = light;
  // What a swap takes anyway is there from the first one on.
  await light.swap();
  await Bun.sleep(CALM_MS);
  // The collector's own turns, too, which so many requests bring about.
  const idleTurnMs = await longestTurn(light);
  const before = memoryOf(hupwatch.pid).privateKb;
  const to: To = family === "TCP" ? { hostname: "127.0.0.1", port } : { unix: place.socket };
  const cpuMs = await drained(light, to, size, () => cpuMsIn(hupwatch.pid, () => Bun.sleep(DRAIN_MS)));
  await Bun.sleep(CALM_MS);
  const grownMb = (memoryOf(hupwatch.pid).privateKb - before) / 1024;
  const turnMs = await drained(light, to, size, async (clients) => {
    await Bun.sleep(CALM_MS);
    const [longest] = await Promise.all([longestTurn(light), leaveOneByOne(clients)]);
    return longest;
  });
  return { cpuMs, turnMs, idleTurnMs, grownMb };
}

/** What `measure` sees from the moment that the next generation is ready, while the old one has so many clients. */
async function drained<T>(
  { hupwatch }: Light,
  to: To,
  size: number,
  measure: (clients: readonly AskingClient[]) => Promise<T>,
): Promise<T> {
  const { signal } = new AbortController();
  const { clients, answers } = await connectAll(to, size);
  if (new Set(answers).size !== 1) throw new Error(`not all clients were answered: ${tally(answers)}`);
  const before = hupwatch.book.swaps.length;
  hupwatch.hup();
  await waitFor(() => hupwatch.book.swaps[before]?.readyMs !== undefined, {
    what: "the next one",
    timeoutMs: READY_MS,
    signal,
  });
  const measured = await measure(clients);
  if (hupwatch.book.idle) throw new Error("the old generation did not wait for its clients");
  for (const client of clients) client.end();
  await hupwatch.idle(signal);
  return measured;
}

/** All but the last ones: whenever those that it remembers are gone, hupwatch has to seek others. */
async function leaveOneByOne(clients: readonly AskingClient[]): Promise<void> {
  for (let step = 1; step < STEPS; step++) {
    const from = Math.floor((clients.length * (step - 1)) / STEPS);
    for (const client of clients.slice(from, Math.floor((clients.length * step) / STEPS))) client.end();
    await Bun.sleep(TURNS_MS / STEPS);
  }
}

/**
 * Requests that cost next to nothing, each behind the last: what the main thread takes from one answer to the next is more than the longest
 * turn that a look has made it take. In CPU time, since others take turns on the cores, too.
 */
async function longestTurn({ hupwatch: { pid }, place }: Light): Promise<number> {
  const control = `${place.runDir}/${readdirSync(place.runDir).find((file) => file.endsWith(".sock"))}`;
  const ask = async () => (await fetch("http://hupwatch/nothing", { unix: control })).text();
  const now = () => msOf([readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "latin1")]);
  await ask();
  let longest = 0;
  const end = performance.now() + TURNS_MS;
  for (let last = now(); performance.now() < end; ) {
    await ask();
    const next = now();
    longest = Math.max(longest, next - last);
    last = next;
  }
  return longest;
}
