/**
 * What became of the swaps, read out of hupwatch's events: each generation after the first is one try to swap. Pure, so
 * that a storm, in which several HUPs fold into one swap, is told the same way as a single one.
 */
import type { HupwatchEvent } from "./event-feed.ts";
import type { ChaosKind } from "./plan.ts";

export type Outcome = "swapped" | "rolled-back" | "failed";

/** Milliseconds since the run began. */
export interface Swap {
  kind: "swap" | ChaosKind;
  /** The signal; or, where it came during another swap, when that one was over; or the reload command's start. */
  startMs: number;
  /** No signal was sent at `startMs`: it followed on a swap that was going on. */
  queued: boolean;
  /** The new generation's process. */
  execMs: number | undefined;
  /** Its last readiness check, and with it the flip of new connections. */
  readyMs: number | undefined;
  /** False where the old generation may have passed the checks in place of the new one. */
  readyProven: boolean | undefined;
  /** The new generation has proved itself and replaces the old one; or it was given up. */
  decidedMs: number | undefined;
  /** The one that lost got its first stop signal; it may be left alone before, while it holds connections. */
  stopMs: number | undefined;
  /** A generation that served got a stop signal before the new one was ready: against I2. */
  stoppedEarlyMs?: number | undefined;
  /** The one that lost has no process left. */
  endMs: number | undefined;
  outcome: Outcome;
  why: string | undefined;
  from: number | undefined;
  to: number | undefined;
  /** What became of the processes behind the address; undefined: it was not looked at. */
  processes?: Processes | undefined;
}

/** `unknown`: they may not be looked into, or are on another machine. */
export interface Processes {
  change: "new" | "same" | "unknown";
  /** Those that were there before, e.g. `123 gunicorn`. */
  before: string[];
}

export interface JournalContext {
  kind: Swap["kind"];
  /** When we signalled. */
  signalsMs: readonly number[];
  /** An event's time on the run's clock. */
  at(event: HupwatchEvent): number;
}

/** `events`: from before the signal on. */
export function swapsOf(events: readonly HupwatchEvent[], { kind, signalsMs, at }: JournalContext): Swap[] {
  const swaps: Swap[] = [];
  for (const [i, started] of events.entries()) {
    if (started.event !== "generation.started") continue;
    const to = started.generation;
    const after = events.slice(i + 1);
    const of = (event: string, generation = to) =>
      after.find((e) => e.event === event && e.generation === generation);
    const done = of("swap.done");
    const undone = of("swap.rolled-back");
    const loser = done ? done.retired : to;
    const decided = done ?? undone;
    const gone = loser === undefined ? undefined : of("generation.gone", loser);
    const ready = of("generation.ready");
    const early = stoppedEarly(events, i, to);
    const stopped = loser === undefined ? undefined : of("generation.signalled", loser);
    const execMs = at(started);
    const before = swaps.at(-1);
    // Events are stamped in whole milliseconds: a signal may seem to come after what it caused.
    const signal = signalsMs.findLast((ms) => ms <= execMs + 1);
    const queued = signal === undefined || (before?.decidedMs !== undefined && signal < before.decidedMs);
    swaps.push({
      kind,
      startMs: queued ? (before?.decidedMs ?? execMs) : Math.min(signal, execMs),
      queued,
      execMs,
      readyMs: ready && at(ready),
      readyProven: ready?.proven,
      decidedMs: decided && at(decided),
      stopMs: stopped && at(stopped),
      stoppedEarlyMs: early && at(early),
      endMs: gone && at(gone),
      outcome: done ? "swapped" : undone ? "rolled-back" : "failed",
      why: undone?.message ?? (done ? undefined : lastError(after)),
      from: done?.retired,
      to,
    });
  }
  return swaps;
}

/** A generation that was replaced before may drain; every other one still serves, until the new one is ready or has failed. */
function stoppedEarly(events: readonly HupwatchEvent[], started: number, to: number | undefined) {
  const drains = new Set(
    events.slice(0, started).flatMap((e) => (e.event === "swap.done" ? [e.retired] : [])),
  );
  const after = events.slice(started + 1);
  const isOver = (e: HupwatchEvent) =>
    e.generation === to && ["generation.ready", "swap.rolled-back", "swap.done"].includes(e.event);
  const end = after.findIndex(isOver);
  return after
    .slice(0, end < 0 ? after.length : end)
    .find((e) => e.event === "generation.signalled" && e.generation !== to && !drains.has(e.generation));
}

const lastError = (events: readonly HupwatchEvent[]): string =>
  events.findLast((e) => e.level === "error")?.message ?? "it was not over in time";
