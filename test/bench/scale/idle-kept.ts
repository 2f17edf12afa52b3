/** Idle connections that clients keep, all of them through one swap: how many live on, how long it takes, and what it costs. */
import { readFileSync } from "node:fs";
import { count } from "../../../fixtures/demo/text.ts";
import { limitDescriptors } from "../../../src/os/libc-kept.ts";
import { freePort } from "../../harness/free-port.ts";
import { startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { cpuMsOf } from "./usage.ts";

/** What each process needs besides. */
const SPARE = 500;
const BATCH = 100;
/** Behind the swap: the last one's turn must come before its connection is closed for silence, on a machine that does much else, too. */
const BATCH_BEHIND = 1000;
/** Of their own stop signal, not of their connections. */
const BUDGET = { lost: 0, cpuMsPerThousand: 100 };
const REQUEST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

export async function idleKept(wanted: number): Promise<Row[]> {
  const given = limitDescriptors(undefined);
  const hard = Number(
    /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1],
  );
  const size = Math.min(wanted, hard - SPARE);
  const port = await freePort();
  await using light = await startLight(() => [
    ...["-w", "0", "-b", `127.0.0.1:${port}`, "--ready", "delay:0", "--drain-until-idle", "0"],
    ...["--kept-connections", "adopt", "--", process.execPath, `${import.meta.dir}/idle-server.ts`],
  ]);
  const clients = await connectAll(port, size);
  const first = tally(await Promise.all(clients.map((client) => client.ask())));
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
  limitDescriptors(given);
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

/** How often each answer came. */
function tally(answers: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return [...counts].map(([answer, n]) => `${answer}: ${count(n)}`).join(", ");
}

async function connectAll(port: number, size: number): Promise<Client[]> {
  const clients: Client[] = [];
  while (clients.length < size) {
    const batch = Array.from({ length: Math.min(BATCH, size - clients.length) }, () => Client.open(port));
    clients.push(...(await Promise.all(batch)));
  }
  return clients;
}

/** Asks, and keeps its connection. */
class Client {
  #socket: { write(text: string): number; end(): void } | undefined;
  #heard: (answer: string) => void = () => {};
  #isOver = false;

  static async open(port: number): Promise<Client> {
    const client = new Client();
    const over = (what: string) => {
      client.#isOver = true;
      client.#heard(what);
    };
    const socket = {
      data: (_: unknown, bytes: Buffer) => client.#heard(bytes.toString().split("\r\n\r\n")[1] ?? "half"),
      close: () => over("closed"),
      error: (_: unknown, error: Error) => over(error.message),
    };
    client.#socket = await Bun.connect({ hostname: "127.0.0.1", port, socket });
    return client;
  }

  /** The body of the answer, or what came in its place. */
  ask(): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#heard = resolve;
    if (this.#isOver) resolve("closed");
    else this.#socket?.write(REQUEST);
    return promise;
  }

  end(): void {
    this.#socket?.end();
  }
}
