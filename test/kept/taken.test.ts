/** One connection that its server still has, on real sockets: holding it takes nothing from its server. */
import { expect, test } from "bun:test";
import { Taken } from "../../src/kept/taken.ts";
import { bind, close, getsockname, isReadable, listen, socket } from "../../src/os/libc.ts";
import { accept, tcpState } from "../../src/os/libc-kept.ts";
import { decode, encode } from "../../src/sockets/sockaddr.ts";
import { until } from "../harness/until.ts";

const LOOPBACK = { family: "inet", host: "127.0.0.1", port: 0 } as const;

/** As gunicorn's gthread: it waits for a request by poll(2), and reads it by a read that waits. */
const SERVER = `
import select, socket
s = socket.socket(fileno=0)
poll = select.poll()
poll.register(s, select.POLLIN)
while True:
    s.setblocking(False)
    poll.poll()
    s.setblocking(True)
    got = s.recv(8192)
    if not got: break
    s.sendall(b"answer")
`;

const CLIENT = `
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
for _ in range(int(sys.argv[2])):
    s.sendall(b"request")
    assert s.recv(64) == b"answer"
`;

const REQUESTS = 4000;

/** Before: gthread over TCP left one POST of some thousand without an answer and without an end at a swap, 2 runs of 40. */
test("a server that reads with a read that waits answers all that it has read", async () => {
  const listener = socket("inet");
  bind(listener, encode(LOOPBACK));
  listen(listener, 1);
  const { port } = decode(getsockname(listener)) as { port: number };
  const client = Bun.spawn(["python3", "-c", CLIENT, `${port}`, `${REQUESTS}`], { stderr: "ignore" });
  await until(() => isReadable(listener), { what: "the client to connect" });
  const fd = accept(listener);
  const server = Bun.spawn(["python3", "-c", SERVER], { stdio: [fd, "ignore", "ignore"] });
  const taken = new Taken(0, fd, server.pid, undefined);
  let held = 0;
  try {
    while (client.exitCode === null) {
      taken.hold();
      if (taken.isHeld) held += 1;
      taken.letGo();
      await Bun.sleep(1);
    }
    expect(held).toBeGreaterThan(0);
    expect(client.exitCode).toBe(0);
    // The acknowledgement of an answer is lost with the request that it came with, so that the kernel sends the answer again: once or
    // twice in twenty runs a server was thought to have sent something more, and a connection between two messages was closed.
    expect(tcpState(fd)?.bytesSent).toBe(REQUESTS * "answer".length);
  } finally {
    for (const one of [client, server]) one.kill();
    await Promise.all([client.exited, server.exited]);
    taken.close();
    close(listener);
  }
}, 60_000);
