/** What must not hang on a relay: the connections of a generation that stops are let go of, and its end is told, whatever fails. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { relayProgram } from "../../src/intercept/programs.ts";
import { Adoption } from "../../src/kept/adoption.ts";
import { OwnLimit } from "../../src/kept/own-limit.ts";
import { RelayLink } from "../../src/kept/relay-link.ts";
import { bind, close, getsockname, listen, socket } from "../../src/os/libc.ts";
import { realOs } from "../../src/os/os.ts";
import { decode, encode } from "../../src/sockets/sockaddr.ts";
import { until } from "../harness/until.ts";

const LOOPBACK = { family: "inet", host: "127.0.0.1", port: 0 } as const;
/** Answers one request, and keeps its connection until TERM ends it. */
const SERVER = `
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
c, _ = socket.socket(fileno=0).accept()
c.setblocking(False)
while True:
    try:
        if c.recv(4096): c.send(b"answer")
    except BlockingIOError:
        signal.sigtimedwait([], 0.01)
`;

/** The connection of a server that stops, taken over by way of such a relay. Resolves when its client has seen the end. */
async function stopped(relay: RelayLink) {
  const listener = socket("inet");
  bind(listener, encode(LOOPBACK));
  listen(listener, 1);
  const { port } = decode(getsockname(listener)) as { port: number };
  const server = Bun.spawn(["python3", "-c", SERVER], { stdio: [listener, "ignore", "inherit"] });
  close(listener);
  const client = connect(port, "127.0.0.1");
  try {
    let said = "";
    client.on("data", (bytes) => {
      said += bytes.toString();
    });
    client.write("request");
    await until(() => said === "answer", { what: "the answer" });
    const { clock, takeDescriptor, isRunning } = realOs;
    const processes = { leader: undefined, pids: () => [server.pid], isKilled: false };
    const ways = [{ place: { hostBytes: new Uint8Array([127, 0, 0, 1]), port }, path: undefined }];
    const adoption = new Adoption(
      { generation: 1, processes, ways, isHttp: true },
      {
        ...{ clock, takeDescriptor, isRunning, relay, limit: new OwnLimit() },
        ...{ isAnyPeer: false, patienceMs: 60_000, refused: () => {} },
      },
    );
    await new Promise<void>((mayStop) => adoption.begin(mayStop));
    server.kill("SIGTERM");
    await server.exited;
    adoption.ended(false);
    const kept = adoption.finish();
    await until(() => client.readableEnded, { what: "the client to see the end" });
    return kept;
  } finally {
    client.destroy();
    server.kill("SIGKILL");
    await server.exited;
  }
}

// Before: where no process could be started for the relay (TasksMax=, no memory) a generation that had ended was never told as gone.
test("a relay that cannot be started keeps no generation, and no connection", async () => {
  using relay = new RelayLink({ ...relayProgram(), words: ["/there/is/no/relay"] });
  expect(await stopped(relay)).toEqual({ kept: 0, closed: 1, others: 0 });
});
