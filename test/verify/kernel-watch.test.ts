/** What the kernel is asked at a flip and at a stop signal: the queue of what listened before, and unread bytes. */
import { expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import type { Place } from "../../src/os/socket-table.ts";
import { KernelWatch } from "../../src/verify/kernel-watch.ts";
import { Scene } from "../faults/listeners.ts";
import { until } from "../harness/until.ts";

const CLIENT = { data() {}, error() {} };

test("connections in the queue of a listener whose path leads elsewhere by now", async () => {
  using scene = new Scene();
  const [path, next] = [join(scene.folder, "s"), join(scene.folder, "next")];
  scene.listener({ family: "unix", path }, 10);
  const watch = new KernelWatch({ path });
  watch.begin();
  const clients = await Promise.all([1, 2, 3].map(() => Bun.connect({ unix: path, socket: CLIENT })));
  scene.listener({ family: "unix", path: next }, 10);
  renameSync(next, path);
  clients.push(await Bun.connect({ unix: path, socket: CLIENT }));
  watch.at("flipped", undefined);
  expect(watch.seen).toEqual({ queuedAtFlip: 3, unreadAtStop: 0 });
  for (const client of clients) client.terminate();
});

test.each(["unix", "tcp"])(
  "connections with bytes that their process has not read (%s)",
  async (transport) => {
    const folder = mkdtempSync(join(tmpdir(), "hupwatch-watch-"));
    const accepted: Socket[] = [];
    const socket = {
      ...CLIENT,
      open(one: Socket) {
        one.pause();
        accepted.push(one);
      },
    };
    const path = join(folder, "s");
    const listener =
      transport === "unix"
        ? Bun.listen({ unix: path, socket })
        : Bun.listen({ hostname: "127.0.0.1", port: 0, socket });
    const port = "port" in listener ? listener.port : 0;
    const place: Place = transport === "unix" ? { path } : { port };
    const open = () =>
      transport === "unix"
        ? Bun.connect({ unix: path, socket: CLIENT })
        : Bun.connect({ hostname: "127.0.0.1", port, socket: CLIENT });
    const watch = new KernelWatch(place);
    watch.begin();
    const clients = [await open(), await open()];
    clients[0]?.write("GET / HTTP/1.1\r\n");
    await until(() => accepted.length === 2, { what: "both to be accepted" });
    const other = Bun.spawn(["sleep", "60"]);
    watch.at("stopping", other.pid);
    expect(watch.seen.unreadAtStop).toBe(0);
    watch.at("stopping", process.pid);
    expect(watch.seen).toEqual({ queuedAtFlip: 0, unreadAtStop: 1 });
    other.kill();
    for (const one of clients) one.terminate();
    listener.stop(true);
    rmSync(folder, { recursive: true });
  },
);
