/**
 * F12: a process of the same user that opens the held port as well (SO_REUSEPORT): "5 of 5 clients STOLEN until it left", after
 * "generation 2 ready in 0.01 s", which it had answered.
 */
import { describe, expect, test } from "bun:test";
import type { Listener } from "../../src/sockets/held.ts";
import { HeldTcp } from "../../src/sockets/held-tcp.ts";
import type { InetAddress } from "../../src/sockets/sockaddr.ts";
import { firstThen, TINY } from "../harness/commands.ts";
import { freePort } from "../harness/free-port.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { thrownBy } from "../harness/thrown.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";
import { answering } from "../sockets/answering.ts";

const SCRIPT = `
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(64)
print("listens", flush=True)
while True:
    c, _ = s.accept()
    c.recv(9999)
    c.sendall(b"HTTP/1.1 200 OK\\r\\nX-Version: stolen\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n")
    c.close()
`;

/** Resolves when it listens. */
async function stranger(host: string, port: number) {
  const child = Bun.spawn([PYTHON, "-c", SCRIPT, host, `${port}`], { stdout: "pipe" });
  await child.stdout.getReader().read();
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

const versions = async (host: string, port: number) => {
  const seen = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const answer = await fetch(`http://${host}:${port}/`, { headers: { connection: "close" } });
    seen.add(answer.headers.get("x-version") ?? "none");
  }
  return [...seen];
};

// Of an address that a stranger has to itself the kernel gives it all connections at once, and it would answer every probe.
describe.each([
  ["127.0.0.1", "127.0.0.1", "127.0.0.1"],
  ["0.0.0.0", "0.0.0.0", "127.0.0.1"],
  ["0.0.0.0", "127.0.0.1", "127.0.0.2"],
])("hupwatch holds %s, a stranger %s", (host, taken, reached) => {
  const start = (port: number) => {
    const command = firstThen(`env APP_VERSION=one ${TINY}`, `env APP_VERSION=two ${TINY}`);
    const options = ["-k", "-w", "0", "--ready", "http", "-b", `${host}:${port}`, "--handover", "systemd"];
    return startHupwatch([...options, "--", ...command]);
  };

  test("F12: a swap is rolled back, names the stranger, and changes nothing for clients; without it, it succeeds", async () => {
    const port = await freePort();
    await using hupwatch = await start(port);
    {
      await using other = await stranger(taken, port);
      hupwatch.hup();
      await hupwatch.until(LOG.rolledBack);
      expect(hupwatch.log).toMatch(
        new RegExp(`rolled back: generation 2 process ${other.pid} \\(python3?[^)]*\\) also listens at`),
      );
      expect(await versions(reached, port)).toEqual(["one"]);
    }
    hupwatch.hup();
    await hupwatch.until(LOG.serves(3));
    expect(await versions(reached, port)).toEqual(["two"]);
  });
});

describe("a held port", () => {
  const address: InetAddress = { family: "inet", host: "127.0.0.1", port: 0 };
  const hold = () =>
    new HeldTcp({ name: "x", text: "x", address: { kind: "tcp", host: "127.0.0.1", port: 0 } }, address, {
      backlog: 16,
    });

  test("F12: one that joins later is neither probed beside nor steered beside, but a rollback is carried out", async () => {
    using held = hold();
    const [old, young] = [held.listenFor(1), held.listenFor(2)] as [Listener, Listener];
    using _old = answering(old.fd, "old");
    using _young = answering(young.fd, "young");
    held.steerTo(old);
    {
      await using other = await stranger("127.0.0.1", held.address.port);
      for (const attempt of [() => young.connect(), () => held.steerTo(young), () => held.listenFor(3)])
        expect(thrownBy(attempt)).toMatchObject({
          code: "socket.shared",
          message: expect.stringContaining(`process ${other.pid} (`),
        });
      held.steerTo(old);
      expect(await versions("127.0.0.1", held.address.port)).toEqual(["old"]);
    }
    held.steerTo(young);
    {
      await using _other = await stranger("127.0.0.1", held.address.port);
      held.steerTo(old);
      expect(await versions("127.0.0.1", held.address.port)).toEqual(["old"]);
    }
    using probe = young.connect();
    await until(() => probe.connected(), { what: "the probe" });
  });
});
