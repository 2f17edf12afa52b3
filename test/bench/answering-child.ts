/** `bun answering-child.ts FILE`: answers on descriptor 3, and notes in FILE when it did. Ends at once on TERM. */
import { appendFileSync } from "node:fs";
import { preciseNow } from "./light.ts";

const file = process.argv[2] as string;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

const socket = {
  data(client: { end(text: string): void }) {
    appendFileSync(file, `${preciseNow()}\n`);
    client.end(ANSWER);
  },
};
// `fd` works from Bun 1.4.0; bun-types 1.4.5 does not have it.
Bun.listen({ fd: 3, socket } as unknown as Bun.UnixSocketOptions<undefined>);
