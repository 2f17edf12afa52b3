/** `TERM/30s/KILL`: the signals that a generation gets, and the time after each. Parsing only. */
import { constants } from "node:os";
import { parseDuration } from "../duration.ts";
import { HupwatchError } from "../error.ts";

export interface StopStep {
  signal: NodeJS.Signals;
  /** What this signal is given before the next one; the last one is always KILL. */
  waitMs: number;
}

const DEFAULT_WAIT_MS = 60_000;
/** KILL cannot be ignored; this is only how long the kernel may take. */
const KILL_WAIT_MS = 5_000;

/** `SIG[/WAIT[/SIG/WAIT...]]`; KILL is added where it is missing. Throws a usage error that names the value. */
export function parseStopSequence(text: string, what = "--stop-signal"): StopStep[] {
  const words = text.split("/");
  const steps: StopStep[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const signal = parseSignal(words[i] ?? "", what, text);
    const wait = words[i + 1];
    const waitMs = wait === undefined ? DEFAULT_WAIT_MS : parseDuration(wait, `${what} ${text}`);
    steps.push({ signal, waitMs: signal === "SIGKILL" ? KILL_WAIT_MS : waitMs });
  }
  if (steps.at(-1)?.signal !== "SIGKILL") steps.push({ signal: "SIGKILL", waitMs: KILL_WAIT_MS });
  return steps;
}

/** `term`, `SIGTERM` and `15` are one and the same. */
function parseSignal(word: string, what: string, text: string): NodeJS.Signals {
  const wanted = `SIG${word.toUpperCase().replace(/^SIG/, "")}`;
  const entry = Object.entries(constants.signals).find(([name, n]) => name === wanted || String(n) === word);
  if (entry) return entry[0] as NodeJS.Signals;
  throw new HupwatchError("signal.invalid", `${what} '${text}': '${word}' is not a signal`, {
    hint: "write it like TERM, TERM/30s/KILL or USR1/5s/TERM/30s/KILL ('kill -l' lists the names)",
  });
}

/** For a generation that never served, and so has no clients: no signal gets more than `capMs`. */
export const shortened = (steps: readonly StopStep[], capMs: number): StopStep[] =>
  steps.map((step) => ({ ...step, waitMs: Math.min(step.waitMs, capMs) }));

export const formatStopSequence = (steps: readonly StopStep[]): string =>
  steps
    .map(({ signal, waitMs }) => (signal === "SIGKILL" ? "KILL" : `${signal.slice(3)}/${waitMs / 1000}s`))
    .join("/");
