/**
 * `bun holding-server.ts FILE WORKERS EACH`: as many processes answer on descriptor 3 with the number of their generation N, but not
 * before FILE-N is there. Each holds EACH connections at most, and accepts no more then. On TERM they end, with what they hold by then.
 */
import { existsSync } from "node:fs";
import type { Socket } from "bun";

const LOOK_MS = 20;
const [path = "", workers = "1", each = "1"] = process.argv.slice(2);

if (workers === "0") hold(Number(each));
else lead(Number(workers));

function lead(size: number): void {
  const words = [process.execPath, import.meta.path, path, "0", each];
  const descriptors = ["ignore", "inherit", "inherit", 3];
  const started = Array.from({ length: size }, () => Bun.spawn(words, { stdio: descriptors as never }));
  process.on("SIGTERM", async () => {
    for (const worker of started) worker.kill("SIGTERM");
    await Promise.all(started.map(({ exited }) => exited));
    process.exit(0);
  });
}

function hold(most: number): void {
  const body = process.env.HUPWATCH_GENERATION ?? "?";
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
  let held: Socket[] = [];
  let accepted = 0;
  const socket = {
    open() {
      accepted++;
      if (accepted === most) listener.stop();
    },
    data(client: Socket) {
      held.push(client);
    },
  };
  // `fd` works from Bun 1.4.0; bun-types 1.4.5 does not have it.
  const listener = Bun.listen({ fd: 3, socket } as unknown as Bun.UnixSocketOptions<undefined>);
  process.on("SIGTERM", () => process.exit(0));
  setInterval(() => {
    if (held.length === 0 || !existsSync(`${path}-${body}`)) return;
    for (const client of held) client.end(answer);
    held = [];
  }, LOOK_MS);
}
