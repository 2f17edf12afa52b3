/** A hundred thousand requests are under way when a swap flips: each is answered by the generation that has it. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { count } from "../../../fixtures/demo/text.ts";
import { eachLine } from "../../../fixtures/demo/wait.ts";
import { startLight } from "../light.ts";
import type { Row } from "../row.ts";
import { send } from "./holding-client.ts";
import { cpuMsOf } from "./usage.ts";

/** What a process needs besides: the runtime's own, listeners, logs. */
const SPARE = 500;
/** Of one process, most often the limit of an ordinary user is higher. */
const EACH_MAX = 25_000;
/** Kinds of failures that are named. */
const SHOWN = 3;
const BUDGET = { dropped: 0, cpuMsPerThousand: 30 };

export async function inFlight(size: number): Promise<Row[]> {
  const each = Math.min(descriptorsMax() - SPARE, EACH_MAX);
  const processes = Math.ceil(size / each);
  await using light = await startLight(({ path, socket }) => [
    ...["-w", "0", "-b", `unix:${socket}`, "--ready", "connect", "--drain-until-idle", "10m"],
    // One more: a probe and a request of ours are held, too.
    ...["--", process.execPath, `${import.meta.dir}/holding-server.ts`, `${path}/answer`],
    ...[`${processes + 1}`, `${each}`],
  ]);
  const { hupwatch, place } = light;
  const clients = Array.from({ length: processes }, (_, n) =>
    clientOf(place.socket, Math.floor((size * (n + 1)) / processes) - Math.floor((size * n) / processes)),
  );
  await Promise.all(clients.map(({ sent }) => sent));
  const before = cpuMsOf(hupwatch.pid);
  writeFileSync(`${place.path}/answer-2`, "");
  const { ino } = statSync(place.socket);
  hupwatch.hup();
  while (statSync(place.socket).ino === ino) await Bun.sleep(5);
  // The first one still holds all of its own.
  const served = await send(place.socket).answer;
  writeFileSync(`${place.path}/answer-1`, "");
  const answers = await Promise.all(clients.map(({ answers }) => answers));
  await hupwatch.idle(new AbortController().signal);
  const others = answers.flatMap((of) => Object.entries(of).filter(([answer]) => answer !== "1"));
  const answered = answers.reduce((sum, of) => sum + (of["1"] ?? 0), 0);
  const [dropped, what] = [
    size - answered,
    [...new Set(others.map(([answer]) => answer))].slice(0, SHOWN).join(", "),
  ];
  const perThousand = (1000 * (cpuMsOf(hupwatch.pid) - before)) / size;
  return [
    {
      what: `dropped of ${count(size)} requests in flight at a flip (${processes} clients, ${processes + 1} workers)`,
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

const descriptorsMax = (): number =>
  Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]);

/** `answers`: how often each was given. */
function clientOf(path: string, size: number) {
  const words = [process.execPath, `${import.meta.dir}/holding-client.ts`, path, `${size}`];
  const client = Bun.spawn(words, { stdio: ["ignore", "pipe", "inherit"] });
  const sent = Promise.withResolvers<void>();
  const answers = Promise.withResolvers<Record<string, number>>();
  const over = async () => {
    const why = new Error(`a client ended with exit code ${await client.exited}`);
    sent.reject(why);
    answers.reject(why);
  };
  void eachLine(client.stdout, (line) =>
    line === "sent" ? sent.resolve() : answers.resolve(JSON.parse(line)),
  ).then(over);
  return { sent: sent.promise, answers: answers.promise };
}
