/** Clients in this process that ask, and keep their connections. */
import { readFileSync } from "node:fs";
import { count } from "../../../fixtures/demo/text.ts";
import { limitDescriptors } from "../../../src/os/libc-kept.ts";

export type To = { hostname: string; port: number } | { unix: string };

/** What a process needs besides. */
const SPARE = 500;
const BATCH = 100;
const REQUEST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

/** How many of `wanted` a process may have that needs `each` descriptors for one; disposing gives it its own limit back. What it starts meanwhile inherits the higher one. */
export function roomFor(wanted: number, { each = 1 } = {}): { size: number } & Disposable {
  const given = limitDescriptors(undefined);
  const hard = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  return {
    size: Math.min(wanted, Math.floor((Number(hard) - SPARE) / each)),
    [Symbol.dispose]: () => void limitDescriptors(given),
  };
}

/** Each has asked once when the next ones come: a server that is behind with accepting would refuse them. */
export async function connectAll(
  to: To,
  size: number,
): Promise<{ clients: AskingClient[]; answers: string[] }> {
  const clients: AskingClient[] = [];
  const answers: string[] = [];
  while (clients.length < size) {
    const batch = Array.from({ length: Math.min(BATCH, size - clients.length) }, () => AskingClient.open(to));
    const opened = await Promise.all(batch);
    clients.push(...opened);
    answers.push(...(await Promise.all(opened.map((client) => client.ask()))));
  }
  return { clients, answers };
}

/** How often each answer came. */
export function tally(answers: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return [...counts].map(([answer, n]) => `${answer}: ${count(n)}`).join(", ");
}

export class AskingClient {
  #socket: { write(text: string): number; end(): void } | undefined;
  #heard: (answer: string) => void = () => {};
  #isOver = false;

  static async open(to: To): Promise<AskingClient> {
    const client = new AskingClient();
    const over = (what: string) => {
      client.#isOver = true;
      client.#heard(what);
    };
    const socket = {
      data: (_: unknown, bytes: Buffer) => client.#heard(bytes.toString().split("\r\n\r\n")[1] ?? "half"),
      close: () => over("closed"),
      error: (_: unknown, error: Error) => over(error.message),
    };
    client.#socket = await Bun.connect({ ...to, socket } as Bun.TCPSocketConnectOptions<unknown>);
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
