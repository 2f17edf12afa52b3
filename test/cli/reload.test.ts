/** What reload says of a broken release. */
import { expect, test } from "bun:test";
import { inWords } from "../../src/cli/reload.ts";

const rolledBack = (stderr: string[]) =>
  inWords({
    schema: "hupwatch-reload/1",
    name: "shop",
    outcome: "rolled-back",
    generation: 3,
    serving: 2,
    failure: { reason: "exited with code 3 after 0.51 s", stderr },
  });

const frames = (n: number) => Array.from({ length: n }, (_, i) => `  File "${i}.py"`);
const shown = (stderr: string[]) =>
  rolledBack(stderr)
    .split("\n")
    .slice(3)
    .map((line) => line.slice(4));

test("a short reason is shown as it was written", () => {
  const lines = ["Traceback (most recent call last):", ...frames(16), "ModuleNotFoundError: shop"];
  expect(rolledBack(lines)).toStartWith(
    "shop: rolled back, generation 2 goes on\n  generation 3 exited with code 3 after 0.51 s\n  its last lines:\n",
  );
  expect(shown(lines)).toEqual(lines);
});

test("of long stack traces the ends are shown, so that every cause is there", () => {
  const traceback = ["Traceback (most recent call last):", ...frames(26)];
  const short = ["Traceback (most recent call last):", '  File "0.py"', "  …", ...frames(26).slice(-4)];
  expect(
    shown([...traceback, "ModuleNotFoundError: shop", "exiting", ...traceback, "HaltServer: 3"]),
  ).toEqual([...short, "ModuleNotFoundError: shop", "exiting", ...short, "HaltServer: 3"]);
});

test("of many lines the last ones", () => {
  const lines = Array.from({ length: 60 }, (_, i) => `line ${i}`);
  expect(shown(lines)).toEqual(lines.slice(-30));
});
