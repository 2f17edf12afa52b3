import { expect, test } from "bun:test";
import type { Check } from "../../src/verify/check.ts";
import { renderJunit } from "../../src/verify/junit.ts";
import type { VerifyReport } from "../../src/verify/report.ts";
import { wellFormed } from "./tools.ts";

const report = (command: string, checks: Partial<Check>[]) =>
  ({
    ...{ line: "0 of 1", startedAt: "2026-01-02T03:04:05.000Z", elapsedMs: 1234 },
    subject: { kind: "hupwatch", command },
    checks: checks.map((c) => ({ name: "n", status: "pass", summary: "s", details: [], ...c })),
  }) as unknown as VerifyReport;

test("whatever a command or a server says stays text", async () => {
  const nasty = `sh -c 'a && b < "c" > d' ]]> <!-- \u0000\u001b[31m \ud800 \uffff ü 漢 \u{1f600}`;
  const xml = renderJunit(report(nasty, [{ status: "fail", summary: nasty, details: [nasty] }]));
  expect(await wellFormed(xml)).toEqual({ root: "testsuites", cases: 1, failures: 1 });
});

test("each status has the element that CI reads", () => {
  const statuses = ["pass", "fail", "inconclusive", "measured", "skipped", "not-exercised"] as const;
  const xml = renderJunit(
    report(
      "x",
      statuses.map((status) => ({ status })),
    ),
  );
  expect(xml).toContain('tests="6" failures="1" errors="1" skipped="2" time="1.234"');
  expect(xml.match(/<(failure|error|skipped) /g)).toEqual(["<failure ", "<error ", "<skipped ", "<skipped "]);
});
