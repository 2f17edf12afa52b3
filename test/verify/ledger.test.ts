import { expect, test } from "bun:test";
import type { LoadResult } from "../../src/load/result.ts";
import { joinLedger } from "../../src/verify/ledger.ts";

const result = (mode: string, count: number, failed: string[] = []) =>
  ({
    mode,
    ids: { prefix: "p-", count },
    failureRecords: failed.map((id) => ({ id })),
    failureRecordsDropped: 0,
  }) as unknown as LoadResult;

const id = (n: number) => `p-${String(n).padStart(10, "0")}`;
const ledger = (...ids: string[]) => `${ids.join("\n")}\n`;

test("each POST once: nothing to say", () => {
  expect(joinLedger(ledger(id(0), id(1)), [result("post", 2)])).toEqual({
    ...{ posts: 2, executedOnce: 2, strangers: 0 },
    ...{ duplicates: [], neverExecuted: [], executedButFailed: [], failedUnexecuted: [] },
  });
});

test("executed twice, never, and in spite of a failure", () => {
  const found = joinLedger(ledger(id(0), id(0), id(2), "other"), [result("post", 4, [id(2), id(3)])]);
  expect(found).toMatchObject({
    ...{ posts: 4, executedOnce: 1, strangers: 1, duplicates: [id(0)] },
    ...{ neverExecuted: [id(1)], executedButFailed: [id(2)], failedUnexecuted: [id(3)] },
  });
});

test("of a mix only the POSTs are looked for", () => {
  // The third and the seventh of twenty, see load/requests.ts.
  expect(joinLedger(ledger(id(2), id(6)), [result("mix", 8)])).toMatchObject({ posts: 2, executedOnce: 2 });
  expect(joinLedger(ledger(id(2)), [result("fresh", 8)])).toMatchObject({ posts: 0, strangers: 1 });
});

test("an app without a ledger says nothing", () => {
  expect(joinLedger("", [result("post", 3)])).toBeUndefined();
});
