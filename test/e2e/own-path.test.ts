/** Servers that cannot take a descriptor: each generation binds a path of its own, which becomes the public one. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { startHupwatch } from "../harness/hupwatch.ts";
import { sameStock, takeStock } from "../harness/leftovers.ts";
import { startLoad } from "../harness/load.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { ROOT } from "../setup/places.ts";

const TINY = `${ROOT}/fixtures/apps/tiny.ts`;

test("{socket} is only the hidden path that was bound, for a shared Unix socket and for a generation's own", async () => {
  using place = tempDir();
  const path = join(place.path, "app.sock");
  const tell = `echo "told $1" >&2; exec "$0" ${TINY}`;
  for (const [cutover, told] of [
    ["share", join(place.path, ".app.sock.hupwatch-\\w+-0-\\w+")],
    ["steer", join(place.path, ".app.sock.hupwatch-\\w+-1-\\w+")],
  ] as const) {
    const options = ["-k", "-b", `unix:${path}`, "--cutover", cutover, "--handover", "systemd"];
    await using hupwatch = await startHupwatch(
      [...options, "--", "sh", "-c", tell, process.execPath, "{socket}"],
      { cwd: place.path },
    );
    expect(hupwatch.log).toMatch(new RegExp(`^told ${told}$`, "m"));
  }
});

test("I3: a server that binds its own {socket} is swapped without a drop, although it unlinks its path at exit", async () => {
  using place = tempDir();
  const bind = `unix:${join(place.path, "app.sock")}`;
  await using hupwatch = await startHupwatch(
    ["-k", "-w", "0.2", "-b", bind, "--", process.execPath, TINY, "unix:{socket}"],
    { cwd: place.path },
  );
  await using load = await startLoad({ target: bind, versions: ["1", "2", "3"] });
  await load.version("1");
  const before = await takeStock(hupwatch, place.path);
  for (const generation of [2, 3]) {
    hupwatch.hup();
    await hupwatch.until(LOG.gone(generation - 1));
    await load.version(`${generation}`);
    await load.more(100);
  }
  expect(await load.stop()).toMatchObject({ failures: {}, wentBack: 0, lastVersion: "3" });
  await sameStock(hupwatch, place.path, before);
}, 120_000);
