/** The look at what a generation writes, with a real tee. */
import { expect, test } from "bun:test";
import { realClock } from "../../src/os/clock.ts";
import { openTap } from "../../src/os/output.ts";
import { until } from "../harness/until.ts";

/** A tap on a shell that writes these lines at once, in one piece; the tee copies them to the tests' stderr. */
function tapOn(
  text: string,
  onLine: (line: string, tap: Disposable) => void,
): Disposable & { isOver: boolean } {
  const tap = openTap(2, realClock);
  Bun.spawn(["printf", "%s", text], { stdio: ["ignore", tap.descriptor, "ignore"] });
  tap.begin({ account: {}, env: {}, keptOpen: [] }, (line) => onLine(line, tap));
  return tap;
}

test("every line is told, and the end", async () => {
  const lines: string[] = [];
  using tap = tapOn("tapped: one\ntapped: two\n", (line) => lines.push(line));
  await until(() => tap.isOver, { what: "the end" });
  expect(lines).toEqual(["tapped: one", "tapped: two"]);
});

test("a line may end the looking: what follows in the same piece is not told, and nothing is read any more", async () => {
  const lines: string[] = [];
  tapOn("tapped: before\ntapped: ready\ntapped: after\n", (line, tap) => {
    lines.push(line);
    if (line === "tapped: ready") tap[Symbol.dispose]();
  });
  await until(() => lines.length > 1, { what: "the line" });
  // The look goes on behind the callback: what it threw there would end the test run.
  await Bun.sleep(50);
  expect(lines).toEqual(["tapped: before", "tapped: ready"]);
});
