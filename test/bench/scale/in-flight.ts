/** As many requests as descriptors allow are under way when a swap flips: each is answered by the generation that has it. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { count } from "../../../fixtures/demo/text.ts";
import { startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { cpuMsOf } from "./usage.ts";

/** What the processes need besides: the runtime's own, listeners, logs. */
const SPARE = 500;
const BATCH = 200;
/** Connections begun for each that is accepted. */
const TRIES_MAX = 10;
/** Kinds of failures that are named. */
const SHOWN = 3;
const BUDGET = { dropped: 0, cpuMsPerThousand: 30 };
const REQUEST = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

export async function inFlight(wanted: number): Promise<Row[]> {
  const size = Math.min(wanted, descriptorsMax() - SPARE);
  await using light = await startLight(({ path, socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "delay:0", "--drain-until-idle", "10m"],
    ...["--", process.execPath, `${import.meta.dir}/holding-server.ts`, `${path}/answer`],
  ]);
  const { hupwatch, place } = light;
  const requests = await sendAll(place.socket, size);
  const before = cpuMsOf(hupwatch.pid);
  writeFileSync(`${place.path}/answer-2`, "");
  const { ino } = statSync(place.socket);
  hupwatch.hup();
  while (statSync(place.socket).ino === ino) await Bun.sleep(5);
  // The first one still holds all of its own.
  const served = await send(place.socket).answer;
  writeFileSync(`${place.path}/answer-1`, "");
  const answers = await Promise.all(requests);
  await hupwatch.idle(new AbortController().signal);
  const others = answers.filter((answer) => answer !== "1");
  const [dropped, what] = [others.length, [...new Set(others)].slice(0, SHOWN).join(", ")];
  const perThousand = (1000 * (cpuMsOf(hupwatch.pid) - before)) / size;
  return [
    {
      what: `dropped of ${count(size)} requests in flight at a flip${size < wanted ? " (no more descriptors here)" : ""}`,
      budget: `${BUDGET.dropped}`,
      measured: `${count(dropped)}${what && `: ${what}`} (served meanwhile by generation ${served})`,
      met: dropped === BUDGET.dropped && served === "2",
    },
    {
      what: "CPU of the swap for each 1,000 of them",
      budget: `<= ${BUDGET.cpuMsPerThousand} ms`,
      measured: `${perThousand.toFixed(1)} ms`,
      met: perThousand <= BUDGET.cpuMsPerThousand,
    },
  ];
}

/** Of one process, here as for the server. */
const descriptorsMax = (): number =>
  Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]);

/** Resolves when all are sent; each of them resolves to the body of its answer, or to what went wrong. */
async function sendAll(path: string, size: number): Promise<Promise<string>[]> {
  const requests: Promise<string>[] = [];
  for (let tries = 0; requests.length < size; tries += BATCH) {
    if (tries > TRIES_MAX * size) throw new Error("the server is too slow here with accepting");
    const batch = Array.from({ length: Math.min(BATCH, size - requests.length) }, () => send(path));
    // One that the kernel has refused, because the server is behind with accepting, was never under way.
    for (const { sent, answer } of batch) if (await sent) requests.push(answer);
  }
  return requests;
}

function send(path: string): { sent: Promise<boolean>; answer: Promise<string> } {
  const sent = Promise.withResolvers<boolean>();
  const answer = Promise.withResolvers<string>();
  let text = "";
  const over = (what: string) => {
    sent.resolve(false);
    answer.resolve(what);
  };
  const socket = {
    open(client: { write(text: string): number }) {
      client.write(REQUEST);
      sent.resolve(true);
    },
    data(_: unknown, bytes: Uint8Array) {
      text += new TextDecoder().decode(bytes);
    },
    close: () => over(text.split("\r\n\r\n")[1] ?? "closed"),
    error: (_: unknown, error: Error) => over(error.message),
  };
  Bun.connect({ unix: path, socket }).catch((error: Error) => over(error.message));
  return { sent: sent.promise, answer: answer.promise };
}
