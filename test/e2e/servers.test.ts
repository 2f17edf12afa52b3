/**
 * I3 with every server that has an adapter: swaps under fresh connections, uploads, slow requests and kept connections drop
 * nothing, whatever the server does with what it has accepted. What is not installed is skipped, by name.
 */
import { describe, expect, test } from "bun:test";
import { measure } from "../harness/contract.ts";
import { takeTurn } from "../harness/turns.ts";
import { isInstalled, SERVERS, TESTED } from "../setup/servers.ts";

const SWAPS = 3;
const TIMEOUT_MS = 170_000;

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
      },
      TIMEOUT_MS,
    );
  }
});

test(
  "I3: those who share a listener keep what waits in it: nobody takes it out for a generation that is gone",
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
  TIMEOUT_MS,
);
