/**
 * `bun holding-client.ts PATH COUNT`: so many requests, each on a connection of its own, at the same time. It says `sent` when all of
 * them are, and after the last answer which answers there were, as JSON: how often each body, or what went wrong.
 */
const BATCH = 200;
/** Connections begun for each that is accepted. */
const TRIES_MAX = 10;
const REQUEST = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

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

export function send(path: string): { sent: Promise<boolean>; answer: Promise<string> } {
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

if (import.meta.main) {
  const [path = "", size = "1"] = process.argv.slice(2);
  const requests = await sendAll(path, Number(size));
  console.log("sent");
  const counts: Record<string, number> = {};
  for (const answer of await Promise.all(requests)) counts[answer] = (counts[answer] ?? 0) + 1;
  console.log(JSON.stringify(counts));
  process.exit(0);
}
