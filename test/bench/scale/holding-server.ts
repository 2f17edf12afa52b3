/**
 * `bun holding-server.ts FILE`: answers on descriptor 3 with the number of its generation N, but not before FILE-N is there. On TERM
 * it ends, with what it holds by then.
 */
import { existsSync } from "node:fs";
import type { Socket } from "bun";

const LOOK_MS = 20;
const body = process.env.HUPWATCH_GENERATION ?? "?";
const file = `${process.argv[2]}-${body}`;
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
let held: Socket[] = [];

const socket = {
  data(client: Socket) {
    held.push(client);
  },
};
// `fd` works from Bun 1.4.0; bun-types 1.4.5 does not have it.
Bun.listen({ fd: 3, socket } as unknown as Bun.UnixSocketOptions<undefined>);
process.on("SIGTERM", () => process.exit(0));
setInterval(() => {
  if (held.length === 0 || !existsSync(file)) return;
  for (const client of held) client.end(ANSWER);
  held = [];
}, LOOK_MS);
