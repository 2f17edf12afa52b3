/** A port for a program that has to be told one. */
import { createServer } from "node:net";

/** A TCP port that was free a moment ago, on 127.0.0.1 unless said. For programs that cannot report the port they chose. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, fail) => server.once("error", fail).listen(0, host, done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error(`no port on ${host}`);
  await new Promise((done) => server.close(done));
  return address.port;
}
