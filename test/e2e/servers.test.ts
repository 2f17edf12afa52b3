/**
 * I3 with every server that has an adapter: swaps under fresh connections, uploads, slow requests and kept connections drop
 * nothing, whatever the server does with what it has accepted. What is not installed is skipped, by name.
 */
import { describe, expect, test } from "bun:test";
import { constants, readFileSync } from "node:fs";
import { measure, placeIn } from "../harness/contract.ts";
import { startHupwatch } from "../harness/hupwatch.ts";
import { LOG } from "../harness/log-lines.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { TURN_TIMEOUT_MS, takeTurn } from "../harness/turns.ts";
import type { ServerRow } from "../setup/server-row.ts";
import { isInstalled, SERVERS, TESTED } from "../setup/servers.ts";

const SWAPS = 3;

const cells = TESTED.flatMap((server) => server.transports.map((transport) => ({ server, transport })));

describe("I3: swaps drop nothing", () => {
  for (const { server, transport } of cells) {
    const title = `${server.name}, ${transport}`;
    if (!isInstalled(server)) {
      test.skip(`${title}: ${server.program} is not installed`, () => {});
      continue;
    }
    test.concurrent(
      title,
      async () => {
        using _turn = await takeTurn();
        const seen = await measure({
          ...{ server, transport, swaps: SWAPS },
          ...{ cutover: "steer", load: "light", drainUntilIdle: "1.5" },
        });
        const { dropped, keptOtherwise, cut, wentBack, log } = seen;
        const nothing = { dropped: {}, keptOtherwise: {}, wentBack: 0 };
        // Only for the message: a lost request is understood by what happened then.
        const context = Object.keys(dropped).length > 0 ? { log } : {};
        expect({ dropped, keptOtherwise, wentBack, ...context }).toEqual(nothing);
        // A slow request outlasts the warm-up, and --drain-until-idle waits for it longer than it takes.
        expect(cut).toEqual({});
        expect(seen.sent).toBeGreaterThan(100);
        // None unlinks the public path: it is not told of it, and knows its listener by the hidden name.
        expect(log).not.toMatch(/something unlinked/);
      },
      TURN_TIMEOUT_MS,
    );
  }
});

const nginx = SERVERS.find(({ name }) => name === "nginx") as ServerRow;
test.skipIf(!isInstalled(nginx)).each(["steer", "share"])(
  "nginx polls what it is handed and never makes it non-blocking: it gets it so (%s)",
  async (cutover) => {
    using dir = tempDir();
    const place = await placeIn(dir.path, "tcp");
    await nginx.deploy?.(place, "1");
    const options = ["-k", "--cutover", cutover, ...(nginx.options?.(place) ?? [])];
    await using hupwatch = await startHupwatch([...options, "--", ...nginx.command(place)], {
      cwd: place.directory,
    });
    const [, pid] = await hupwatch.until(LOG.started(1));
    const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/3`, "utf8"))?.[1];
    expect(Number.parseInt(flags ?? "0", 8) & constants.O_NONBLOCK).not.toBe(0);
  },
);

test(
  "I3: generations that share a listener keep what waits in it: it is not taken out for a generation that is gone",
  async () => {
    const server = SERVERS.find(({ name }) => name === "gunicorn, sync");
    if (!server) throw new Error("no gunicorn in the table");
    for (const transport of server.transports) {
      const { dropped, log } = await measure({
        ...{ server, transport, swaps: SWAPS },
        ...{ cutover: "share", load: "closed loops", drainUntilIdle: "0" },
      });
      expect({ dropped, log: log.match(/.*passed on.*/g) }).toEqual({ dropped: {}, log: null });
    }
  },
  TURN_TIMEOUT_MS,
);
