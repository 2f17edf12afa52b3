/** A port for a program that has to be told one. */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/**
 * ip(7): from these the kernel takes the source port of a connection. A port out of them that was free a moment ago may be a client's by
 * the time that the program binds it.
 */
const EPHEMERAL = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/)[0]);
/** Above what the tests write down by hand. */
const FIRST = 21_000;
/** Where connections are given nearly all ports, one of theirs has to do. */
const COUNT = (EPHEMERAL < FIRST + 1000 ? 32_768 : EPHEMERAL) - FIRST;

let next = Math.floor(Math.random() * COUNT);

/** A TCP port that is free, on 127.0.0.1 unless said, and that no other call has given, in this process or in another one that lives. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (let tried = 0; tried < COUNT; tried++) {
    const port = FIRST + (next++ % COUNT);
    if ((await isFree(port, host)) && (await claim(port))) return port;
  }
  throw new Error(`no port on ${host}`);
}

async function isFree(port: number, host: string): Promise<boolean> {
  const server = await listening({ port, host });
  await new Promise<void>((done) => (server ? server.close(() => done()) : done()));
  return server !== undefined;
}

/** An abstract name is one process's, and is gone with it. */
const claim = async (port: number): Promise<boolean> =>
  (await listening({ path: `\0hupwatch-test-port-${port}` })) !== undefined;

function listening(at: { path: string } | { port: number; host: string }) {
  const server = createServer().unref();
  return new Promise<typeof server | undefined>((done) =>
    server.once("error", () => done(undefined)).listen(at, () => done(server)),
  );
}
