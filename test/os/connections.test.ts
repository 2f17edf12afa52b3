/** Whether a process still has connections of an address, on real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Accepting, watchConnections } from "../../src/os/connections.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";

const DIR = tempDir();
afterAll(() => DIR[Symbol.dispose]());

interface Ground {
  place: Accepting;
  open(): Promise<Socket>;
}

const PLACES: [name: string, listen: (server: Server) => void, place: (server: Server) => Accepting][] = [
  ["Unix", (s) => void s.listen(`${DIR.path}/s`), () => ({ path: `${DIR.path}/s` })],
  [
    "TCP",
    (s) => void s.listen(0, "127.0.0.1"),
    (s) => ({ hostBytes: new Uint8Array([127, 0, 0, 1]), port: portOf(s) }),
  ],
  [
    "dual stack, over IPv4",
    (s) => void s.listen(0, "::"),
    (s) => ({ hostBytes: new Uint8Array(16), port: portOf(s) }),
  ],
];
const portOf = (server: Server) => (server.address() as { port: number }).port;

describe.each(PLACES)("%s", (_, listen, placeOf) => {
  const server = createServer(() => {});
  let ground: Ground;
  beforeAll(async () => {
    listen(server);
    await new Promise((done) => server.once("listening", done));
    const place = placeOf(server);
    const open = async () => {
      const socket = "path" in place ? connect(place.path) : connect(place.port, "127.0.0.1");
      await new Promise((done) => server.once("connection", done));
      return socket;
    };
    ground = { place, open };
  });
  afterAll(() => void server.close());

  const isIdle = (watch: ReturnType<typeof watchConnections>) => watch.look().isIdle;
  /** And not only because the look was cut short (10 ms to the next one): on a busy machine one may begin before a connection does. */
  const isSeenBusy = (watch: ReturnType<typeof watchConnections>) => {
    const { isIdle, nextMs } = watch.look();
    return !isIdle && nextMs >= 100;
  };

  test("idle without, busy with one, busy with another when that one has gone, and idle again", async () => {
    using watch = watchConnections(() => [process.pid], [ground.place]);
    await until(() => isIdle(watch), { what: "idle" });
    const first = await ground.open();
    await until(() => isSeenBusy(watch), { what: "a connection" });
    const second = await ground.open();
    first.destroy();
    // Each look may end before it has found the other one; none may say that there is none.
    for (let i = 0; i < 20; i += 1) expect(isIdle(watch)).toBe(false);
    second.destroy();
    await until(() => isIdle(watch), { what: "idle again" });
  });

  test("another process's connections do not count", async () => {
    using watch = watchConnections(() => [1], [ground.place]);
    const socket = await ground.open();
    await until(() => isIdle(watch), { what: "idle" });
    socket.destroy();
  });
});

test("a process that is gone has none", () => {
  using watch = watchConnections(() => [2 ** 22 - 1], [{ path: `${DIR.path}/s` }]);
  expect(watch.look().isIdle).toBe(true);
});
