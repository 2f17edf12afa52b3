/** `--stop-signal`: what a generation is sent and how long each signal is given. */
import { expect, test } from "bun:test";
import { formatStopSequence, parseStopSequence, shortened } from "../../src/plan/stop-sequence.ts";
import { thrownBy } from "../harness/thrown.ts";

const ROWS: [text: string, steps: [signal: string, waitMs: number][]][] = [
  [
    "TERM",
    [
      ["SIGTERM", 60_000],
      ["SIGKILL", 5000],
    ],
  ],
  [
    "sigterm",
    [
      ["SIGTERM", 60_000],
      ["SIGKILL", 5000],
    ],
  ],
  [
    "15",
    [
      ["SIGTERM", 60_000],
      ["SIGKILL", 5000],
    ],
  ],
  [
    "TERM/30s/KILL",
    [
      ["SIGTERM", 30_000],
      ["SIGKILL", 5000],
    ],
  ],
  [
    "TERM/0/KILL",
    [
      ["SIGTERM", 0],
      ["SIGKILL", 5000],
    ],
  ],
  [
    "USR1/5s/TERM/2m",
    [
      ["SIGUSR1", 5000],
      ["SIGTERM", 120_000],
      ["SIGKILL", 5000],
    ],
  ],
  [
    "QUIT/500ms/INT/1/KILL/9s",
    [
      ["SIGQUIT", 500],
      ["SIGINT", 1000],
      ["SIGKILL", 5000],
    ],
  ],
  ["KILL", [["SIGKILL", 5000]]],
];

test.each(ROWS)("%s", (text, steps) => {
  const parsed = parseStopSequence(text);
  expect(parsed.map(({ signal, waitMs }) => [signal as string, waitMs] as const)).toEqual(steps);
  expect(parseStopSequence(formatStopSequence(parsed))).toEqual(parsed);
});

test.each(["", "FOO", "TERM/x", "TERM/30s/", "TERM//KILL", "/30s", "99"])(
  "'%s' is refused by name",
  (text) => {
    const error = thrownBy(() => parseStopSequence(text));
    expect(error.message).toContain(`--stop-signal`);
    expect(error.message).toContain(text);
    expect(error.exitCode).toBe(125);
    expect(error.hint).toBeString();
  },
);

test("a generation that never served is given less, in the same order", () => {
  const steps = parseStopSequence("USR1/1s/TERM/30s");
  expect(shortened(steps, 5000).map((s) => s.waitMs)).toEqual([1000, 5000, 5000]);
});
