/**
 * stdout and stderr in one file, or one pipe, are in the order in which they were written, and no line is torn: what a collector parses
 * below supervisord (`redirect_stderr=true`) or in `docker logs`.
 *
 * https://github.com/skypilot-org/skypilot/issues/281: 576 of 1,200 lines of stdout were not followed by their line of stderr.
 */
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { LAUNCHER } from "../harness/hupwatch.ts";
import { killEntry, processTree } from "../harness/processes.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { until } from "../harness/until.ts";
import { PYTHON } from "../setup/places.ts";

const PAIRS = 1200;
/** Writes a line and its end apart, as print() without a buffer does. */
const WRITER = `
import os, time
for i in range(${PAIRS}):
    os.write(1, b"o %04d" % i); os.write(1, b"\\n"); os.write(2, b"e %04d\\n" % i)
os.write(1, b"done\\n")
time.sleep(1000)
`;
const EXPECTED = Array.from({ length: PAIRS }, (_, i) => {
  const number = String(i).padStart(4, "0");
  return [`o ${number}`, `e ${number}`];
}).flat();

test.each([
  ["one file", ">log 2>&1"],
  ["one file, opened twice", ">>log 2>>log"],
  ["one pipe", "2>&1 | cat >log"],
])("%s", async (_, redirect) => {
  using dir = tempDir();
  const [path, script] = [`${dir.path}/log`, `${dir.path}/hupwatch.sh`];
  await Bun.write(script, `"${LAUNCHER}" -q -k --no-control --handover none -- "$@" ${redirect}\n`);
  closeSync(openSync(path, "a"));
  const shell = Bun.spawn(["/bin/sh", script, PYTHON, "-c", WRITER], {
    cwd: dir.path,
    env: { ...process.env, HUPWATCH_BUN: process.execPath },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const lines = () => readFileSync(path, "utf8").split("\n").slice(0, -1);
  try {
    await until(() => lines().includes("done"), { what: "the last line" });
    expect(lines().slice(0, -1)).toEqual(EXPECTED);
  } finally {
    for (const entry of processTree(shell.pid)) killEntry(entry, "SIGKILL");
    await shell.exited;
  }
});
