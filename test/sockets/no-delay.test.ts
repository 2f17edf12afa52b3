/** A server that is handed a TCP listener and takes it for something else (uvicorn --fd) must not answer 40 ms late. */
import { expect, test } from "bun:test";
import { holdAll } from "../../src/sockets/open.ts";
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
