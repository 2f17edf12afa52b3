/** A server that is handed a TCP listener and takes it for something else (uvicorn --fd) must not answer 40 ms late. */
import { expect, test } from "bun:test";
import { bind, listen, socket } from "../../src/os/libc.ts";
import { holdAll } from "../../src/sockets/open.ts";
import { encode } from "../../src/sockets/sockaddr.ts";
import { parseSpec } from "../../src/sockets/spec.ts";
import { PYTHON } from "../setup/places.ts";

const PRINT =
  "import socket; print(socket.socket(fileno=3).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))";

test.each(["steer", "share"] as const)("every listener has TCP_NODELAY (%s)", async (cutover) => {
  const specs = [parseSpec("127.0.0.1:0", "/")];
  const [held] = await holdAll({ specs, options: { backlog: 16 }, cutover });
  if (!held) throw new Error("nothing is held");
  using _held = held;
  for (const generation of [1, 2]) {
    const { fd } = held.listenFor(generation);
    const asked = Bun.spawnSync([PYTHON, "-c", PRINT], {
      stdio: ["ignore", "pipe", "inherit", fd] as unknown as ["ignore", "pipe", "inherit"],
    });
    expect(asked.stdout.toString()).toBe("1\n");
  }
});

const TELL =
  "import socket, struct; s = socket.socket(fileno=3); " +
  // tcpi_sacked of a listener is the length of its accept queue (tcp_diag).
  "print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), struct.unpack_from('=I', s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 28)[0])";

// "systemd-socket-activate + hupwatch: p50 44.00 ms", sgl-project/sglang#20421, Kludex/uvicorn#3149: what hupwatch does to its
// own listeners it does to inherited ones.
test("an inherited listener has TCP_NODELAY and the accept queue of hupwatch's own, for each generation", async () => {
  const fd = socket("inet");
  bind(fd, encode({ family: "inet", host: "127.0.0.1", port: 0 }));
  listen(fd, 1);
  const specs = [parseSpec(`fd://${fd}`, "/")];
  const [held] = await holdAll({ specs, options: { backlog: 77 }, cutover: "steer" });
  if (!held) throw new Error("nothing is held");
  using _held = held;
  for (const generation of [1, 2]) {
    const { fd } = held.listenFor(generation);
    const asked = Bun.spawnSync([PYTHON, "-c", TELL], {
      stdio: ["ignore", "pipe", "inherit", fd] as unknown as ["ignore", "pipe", "inherit"],
    });
    expect(asked.stdout.toString()).toBe("1 77\n");
  }
});
