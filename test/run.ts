/**
 * What `bun run test` runs: installs what the tests need, runs them and then the rig's short grid, and ends with
 * `N passed, N failed, N skipped` alone on a line. What failed is said again right above it.
 *
 *     bun test/run.ts [--fast] [FILTER...]     a FILTER is a part of a test file's path, or `rig`
 *
 * `--fast` leaves out test/e2e and the grid, and so needs nothing but Bun and python3.
 */

import { installFirst } from "./bench/rivals/installed.ts";
import { buildServers } from "./setup/build-servers.ts";
import { installServers } from "./setup/install-servers.ts";
import { ROOT } from "./setup/places.ts";
import { installPrograms } from "./setup/programs.ts";
import { runShortGrid } from "./setup/short-grid.ts";
import { type Counts, countTests, failuresIn, summaryLine, sumOf } from "./setup/summary.ts";
import { makeVirtualenv } from "./setup/virtualenv.ts";

const words = process.argv.slice(2);
const fast = words.includes("--fast");
const filters = words.filter((word) => word !== "--fast");

try {
  if (!fast) {
    installPrograms();
    // The first of them waits for PyPI, the others for a package mirror and for compilers.
    const virtualenv = makeVirtualenv();
    virtualenv.catch(() => {});
    installServers({ forTable: false });
    installFirst();
    await Promise.all([virtualenv, buildServers({ forTable: false })]);
  }
} catch (error) {
  console.error(`setup: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

/** Bun's five seconds are for unit tests on an idle machine; a test that waits for a condition has a deadline of its own. */
const TIMEOUT_MS = 60_000;
const WITHOUT_SERVERS = "--path-ignore-patterns=test/e2e/**";

/**
 * What has a file to itself is most often waiting for a swap: two files at a time, so that the other core is not. The unit
 * tests come alone, since some of them measure.
 */
const RUNS =
  fast || filters.length > 0
    ? [[...(fast ? [WITHOUT_SERVERS] : []), ...filters]]
    : [[WITHOUT_SERVERS], ["--parallel=2", "test/e2e/"]];

const results: Counts[] = [];
const failures: string[] = [];
let exitCode = 0;
for (const words of RUNS) {
  const tests = Bun.spawn([process.execPath, "test", `--timeout=${TIMEOUT_MS}`, ...words], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "pipe"],
  });
  let stderr = "";
  const decoder = new TextDecoder();
  for await (const bytes of tests.stderr) {
    process.stderr.write(bytes);
    stderr += decoder.decode(bytes, { stream: true });
  }
  const code = await tests.exited;
  exitCode ||= code;
  results.push(countTests(stderr, code));
  failures.push(...failuresIn(stderr));
}
if (!fast && (filters.length === 0 || filters.includes("rig"))) results.push(await runShortGrid());
for (const failure of failures) console.log(`\nfailed:\n${failure}`);
const counts = sumOf(results);
console.log(`\n${summaryLine(counts)}`);
process.exit(counts.failed > 0 ? exitCode || 1 : exitCode);
