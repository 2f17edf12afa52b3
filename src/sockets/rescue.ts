/**
 * Saves the connections that wait in the queue of a listener whose generation died: accepts them here and passes their
 * bytes on to the public address, which by then leads to a living generation. Connections that the dead one had accepted are lost.
 * This is rare, so node:net is loaded only then.
 */
import type { Server, Socket } from "node:net";
import { type Blocking, dup, isReadable, setBlocking } from "../os/libc.ts";
import { reachable, type SocketAddress } from "./sockaddr.ts";

const CLOSE_POLL_MS = 5;
/** Ten seconds: where no descriptor is left to accept with, they wait in vain. */
const CLOSE_LOOKS_MAX = 2000;

export class Rescue {
  #server: Server | undefined;
  #was: Blocking = "nonblocking";
  #saved = 0;

  private constructor(private readonly fd: number) {}

  /** `fd` stays the caller's; `to` is where the rescued connections go, which are in `passing` while they live. */
  static async start(fd: number, to: SocketAddress, passing: Set<Socket>): Promise<Rescue> {
    const { createServer, connect } = await import("node:net");
    const rescue = new Rescue(fd);
    // The listener may get a new generation later, whose accept(2) is a blocking one.
    rescue.#was = setBlocking(fd, "nonblocking");
    const target = connectOptions(to);
    rescue.#server = createServer({ allowHalfOpen: true }, (client) => {
      rescue.#saved += 1;
      passing.add(client);
      client.on("close", () => passing.delete(client));
      join(client, connect({ ...target, allowHalfOpen: true }));
    });
    rescue.#server.on("error", () => {}); // what cannot be accepted here was lost already
    rescue.#server.listen({ fd: dup(fd) });
    return rescue;
  }

  /** Stops once no client waits any more, or after ten seconds; the connections that were passed on live as long as they like. */
  async finish(): Promise<number> {
    for (let look = 0; look < CLOSE_LOOKS_MAX && isReadable(this.fd); look++) await Bun.sleep(CLOSE_POLL_MS);
    this.#server?.close();
    setBlocking(this.fd, this.#was);
    return this.#saved;
  }
}

/** Both directions; an end of one side is passed on as such, trouble on one ends the other. */
function join(client: Socket, server: Socket): void {
  client.pipe(server);
  server.pipe(client);
  client.on("error", () => server.destroy());
  server.on("error", () => client.destroy());
}

function connectOptions(to: SocketAddress): { path: string } | { host: string; port: number } {
  switch (to.family) {
    case "unix":
      return { path: to.path };
    case "abstract":
      return { path: `\0${to.name}` };
    case "inet":
    case "inet6": {
      const { host, port } = reachable(to);
      return { host, port };
    }
  }
}
