/**
 * `bun idle-server.ts`: answers each request on descriptor 3 with the number of its generation, and keeps its connections for ever. On TERM
 * it ends at once, as servers do that have nothing but idle connections.
 */
import type { Socket } from "bun";

const body = process.env.HUPWATCH_GENERATION ?? "?";
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

const socket = { data: (client: Socket) => void client.write(ANSWER) };
// `fd` works from Bun 1.4.0; bun-types 1.4.5 does not have it.
Bun.listen({ fd: 3, socket } as unknown as Bun.UnixSocketOptions<undefined>);
process.on("SIGTERM", () => process.exit(0));
