/** `bun connected-sockets.ts COUNT`: so many sockets, both ends of idle connections, half TCP and half Unix; says `up` when it has them. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Socket } from "bun";
import { limitDescriptors } from "../../../src/os/libc-kept.ts";
import { connectAll } from "./asking-clients.ts";

limitDescriptors(undefined);
const pairs = Math.ceil(Number(process.argv[2]) / 4);
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const socket = { data: (client: Socket) => void client.write(ANSWER) };
const tcp = Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
const path = `${tmpdir()}/hupwatch-bench-${process.pid}.sock`;
Bun.listen({ unix: path, socket });
const kept = [
  await connectAll({ hostname: "127.0.0.1", port: tcp.port }, pairs),
  await connectAll({ unix: path }, pairs),
];
rmSync(path, { force: true });
console.log("up");
// Until its starter ends, however that ends.
while (!(await Bun.stdin.stream().getReader().read()).done && kept.length > 0);
process.exit(0);
