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

const traceback = ["Traceback (most recent call last):", ...Array(16).fill('  File "a.py", line 1, in b')];

test("a short reason is shown as it was written", () => {
  expect(rolledBack([...traceback, "ModuleNotFoundError: shop"]).split("\n")).toEqual([
    "shop: rolled back, generation 2 goes on",
    "  generation 3 exited with code 3 after 0.51 s",
    "  its last lines:",
    ...traceback.map((line) => `    ${line}`),
    "    ModuleNotFoundError: shop",
  ]);
});

test("of many lines the headlines are shown, so that the cause is among them", () => {
  const lines = [...traceback, "ModuleNotFoundError: shop", ...traceback, "HaltServer: 3"];
  expect(rolledBack(lines).split("\n").slice(3)).toEqual([
    "    … 32 more, indented or earlier: in the log and in --json",
    "    Traceback (most recent call last):",
    "    ModuleNotFoundError: shop",
    "    Traceback (most recent call last):",
    "    HaltServer: 3",
  ]);
});
