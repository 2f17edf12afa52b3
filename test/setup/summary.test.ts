/** The line that says whether the tests passed must itself be right. */
import { expect, test } from "bun:test";
import { tempDir } from "../harness/temp-dir.ts";
import { countGrid } from "./short-grid.ts";
import { countTests, failuresIn, summaryLine, sumOf } from "./summary.ts";

const IMPORT = 'import { test, expect } from "bun:test";\n';

async function runTests(files: Record<string, string>, ...options: string[]) {
  using dir = tempDir();
  for (const [name, text] of Object.entries(files)) await Bun.write(`${dir.path}/${name}.test.ts`, text);
  const run = Bun.spawn([process.execPath, "test", ...options], {
    cwd: dir.path,
    stderr: "pipe",
    stdout: "ignore",
  });
  const [stderr, exitCode] = await Promise.all([run.stderr.text(), run.exited]);
  return { line: summaryLine(countTests(stderr, exitCode)), exitCode, failures: failuresIn(stderr) };
}

test("passes, failures and skips are counted", async () => {
  const { line, exitCode } = await runTests({
    a: `${IMPORT}test("a", () => {}); test("b", () => {}); test.skip("c", () => {});`,
    b: `${IMPORT}test("d", () => expect(1).toBe(2));`,
  });
  expect(line).toBe("2 passed, 1 failed, 1 skipped");
  expect(exitCode).toBe(1);
});

test.each<string[]>([["in one process"], ["in two", "--parallel=2"]])(
  "each failure is told once more, with its error, %s",
  async (_, ...options) => {
    const files = {
      a: `${IMPORT}test("well", () => {}); test("ill", () => expect(1).toBe(2));`,
      b: `${IMPORT}test("thrown", () => { throw new Error("broken"); });`,
    };
    const { failures } = await runTests(files, ...options);
    expect(failures).toHaveLength(2);
    const all = failures.join("\n");
    for (const words of ["(fail) ill", "expect(received).toBe(expected)", "(fail) thrown", "broken"])
      expect(all).toContain(words);
  },
);

test("that nothing was skipped is said, too", async () => {
  const { line, exitCode } = await runTests({ a: `${IMPORT}test("a", () => {});` });
  expect(line).toBe("1 passed, 0 failed, 0 skipped");
  expect(exitCode).toBe(0);
});

test("a file that throws while it is loaded is a failure", async () => {
  const { line } = await runTests({ a: 'throw new Error("x");', b: `${IMPORT}test("a", () => {});` });
  expect(line).toBe("1 passed, 1 failed, 0 skipped");
});

test("a run that is killed in the middle is a failure, and what a test prints is no count", async () => {
  const { line } = await runTests({
    a: `${IMPORT}test("a", () => console.error("\\n 9 pass\\n 0 fail\\nRan 9 tests"));
        test("b", () => process.kill(process.pid, "SIGKILL"));`,
  });
  expect(line).toBe("1 passed, 1 failed, 0 skipped");
});

test("the grid's cells and whatever else it tried are counted with the tests", () => {
  const cell = { row: "r", column: "c", deploy: "d", seconds: 1 };
  const skipped = { kind: "skipped", why: "not here" } as const;
  const red = { kind: "red" as const, faults: ["it broke"] };
  const grid = {
    cells: [
      { ...cell, outcome: skipped },
      { ...cell, outcome: red },
    ],
    extras: [{ name: "e", outcome: { kind: "green", said: "fine" } as const }],
  };
  expect(summaryLine(sumOf([{ passed: 5, failed: 0, skipped: 0 }, countGrid(grid)]))).toBe(
    "6 passed, 1 failed, 1 skipped",
  );
});
