/**
 * Clients that nobody here wrote, on connections that they keep (src/kept/README.md): none sees an error while their server is replaced, and
 * no post is executed twice. Measured before, with uvicorn and `--kept-connections close`: each of them but the browser, which sends a
 * post again by itself, loses three to eight in two swaps: read ECONNRESET, EOF, answers 502. `bun run bench --scale --only clients` has 20 swaps.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { clientsThroughSwaps, type Through } from "../harness/clients-through-swaps.ts";
import { FRONTS, REAL_CLIENTS } from "../harness/real-clients.ts";

const SWAPS = 2;
const TIMEOUT_MS = 300_000;

const COURSES = [
  { server: "uvicorn", family: "tcp", clients: REAL_CLIENTS },
  { server: "node", family: "unix", clients: FRONTS },
] as const;

for (const { server, family, clients } of COURSES)
  describe(`${server}, ${family}`, () => {
    let seen: Through;
    beforeAll(async () => {
      const there = clients.filter((client) => client.isThere());
      seen = await clientsThroughSwaps({ server, family, clients: there, swaps: SWAPS });
    }, TIMEOUT_MS);

    for (const { name, isThere } of clients)
      test.skipIf(!isThere())(`${name} sees no error (needs ${name})`, () => {
        const { answered = 0, lost } = seen.clients[name] ?? {};
        expect({ lost, log: seen.log.slice(-3000) }).toEqual({ lost: {}, log: seen.log.slice(-3000) });
        expect(answered).toBeGreaterThan(SWAPS);
        expect(seen.executed[name]).toBeGreaterThanOrEqual(answered);
      });

    test("no post is executed twice", () => {
      expect(seen.executedTwice).toEqual([]);
    });
  });
