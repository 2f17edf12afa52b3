/** A server of one word on a held listener, in this process: it accepts what the kernel sent there, and nothing else. */
import { dup } from "../../src/os/libc.ts";

export interface Answering extends Disposable {
  /** Connections accepted so far. */
  readonly accepted: number;
}

const answer = (version: string, request: string) =>
  [
    `HTTP/1.1 200 OK\r\nX-Version: ${version}`,
    // The counting client wants its own request's number back.
    `X-Request-Id: ${/x-request-id: (.*)\r/i.exec(request)?.[1] ?? ""}`,
    "Content-Length: 3\r\nConnection: close\r\n\r\nok\n",
  ].join("\r\n");

/** Answers HTTP with `version`, on a duplicate of the descriptor: the listener itself stays open when this ends. */
export function answering(fd: number | undefined, version: string): Answering {
  if (fd === undefined) throw new Error("it has no descriptor that could be listened on");
  let accepted = 0;
  const socket: Bun.SocketHandler = {
    open: () => {
      accepted += 1;
    },
    data: (connection, bytes) => {
      connection.end(answer(version, bytes.toString("latin1")));
    },
  };
  // `fd` works in Bun.listen from 1.4.0; bun-types 1.4.5 does not have it.
  const server = Bun.listen({ fd: dup(fd), socket } as unknown as Bun.UnixSocketOptions<undefined>);
  return {
    get accepted() {
      return accepted;
    },
    [Symbol.dispose]: () => server.stop(true),
  };
}

export type Target = { unix: string } | { hostname: string; port: number };

/** The version that answers at `target`, asked by a connection of its own. */
export async function versionAt(target: Target): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const socket: Bun.SocketHandler = {
    open: (socket) => void socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    data: (_, bytes) => {
      text += bytes;
    },
    close: () => resolve(/X-Version: (.*)\r/.exec(text)?.[1] ?? `no version in ${JSON.stringify(text)}`),
    connectError: (_, error) => reject(error),
    error: (_, error) => reject(error),
  };
  if ("unix" in target) await Bun.connect({ ...target, socket });
  else await Bun.connect({ ...target, socket });
  return promise;
}
