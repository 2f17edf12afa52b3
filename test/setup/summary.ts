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

/** A failed expectation and its stack, and what a test of the other process may have said between. */
const LINES_OF_FAILURE = { before: 40, after: 20 };

/**
 * What `bun test` said around the name of each failed test, which stands far above the end of a long output. Bun prints the error before the
 * name; with `--parallel` other tests' lines may come between, or the error behind the name, and all names come again at the end.
 */
export function failuresIn(stderr: string): string[] {
  const { before, after } = LINES_OF_FAILURE;
  const [text = ""] = Bun.stripANSI(stderr).split(/^\d+ tests? failed:$/m);
  const lines = text.split("\n").filter((line) => !/^\((pass|skip|todo)\) /.test(line));
  return lines.flatMap((line, at) =>
    line.startsWith("(fail) ") ? lines.slice(Math.max(0, at - before), at + after).join("\n") : [],
  );
}

export const sumOf = (all: readonly Counts[]): Counts => ({
  passed: all.reduce((sum, { passed }) => sum + passed, 0),
  failed: all.reduce((sum, { failed }) => sum + failed, 0),
  skipped: all.reduce((sum, { skipped }) => sum + skipped, 0),
});

export function summaryLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
