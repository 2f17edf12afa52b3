/**
 * Counts what `bun test` said. Its JUnit file is not enough: a test file that throws while it is loaded is no row there
 * (Bun 1.4.5), while the last lines on stderr count it.
 */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Reads the whole stderr of `bun test`. A run that failed without a counted failure counts as one. */
export function countTests(stderr: string, exitCode: number): Counts {
  const text = Bun.stripANSI(stderr);
  // At the very end: a test may print such lines itself.
  const end = text.search(/\nRan \d+ tests? across \d+ files?\.[^\n]*\n*$/);
  const tail = end < 0 ? "" : text.slice(0, end).split("\n").slice(-12).join("\n");
  const last = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(tail)?.[1] ?? 0);
  // Killed or crashed before the end: what it had reported until then.
  const lines = (word: string) => text.match(new RegExp(`^\\(${word}\\) `, "gm"))?.length ?? 0;
  const counts =
    end < 0
      ? { passed: lines("pass"), failed: lines("fail"), skipped: lines("skip") + lines("todo") }
      : { passed: last("pass"), failed: last("fail"), skipped: last("skip") + last("todo") };
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** Of one failure more than this is not said again: its stack and the calls around it. */
const LINES_OF_FAILURE = 60;

/**
 * What `bun test` said of each failed test: its error and its name, which stand far above the end of a long output. Bun
 * prints the error first; in a run with `--parallel`, too, a test's lines stand together.
 */
export function failuresIn(stderr: string): string[] {
  const failures: string[] = [];
  let said: string[] = [];
  for (const line of Bun.stripANSI(stderr).split("\n")) {
    const verdict = /^\((pass|fail|skip|todo)\) /.exec(line)?.[1];
    if (verdict === undefined) {
      said.push(line);
      continue;
    }
    if (verdict === "fail") failures.push([...said.slice(-LINES_OF_FAILURE), line].join("\n").trim());
    said = [];
  }
  return failures;
}

export const sumOf = (all: readonly Counts[]): Counts => ({
  passed: all.reduce((sum, { passed }) => sum + passed, 0),
  failed: all.reduce((sum, { failed }) => sum + failed, 0),
  skipped: all.reduce((sum, { skipped }) => sum + skipped, 0),
});

export function summaryLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
