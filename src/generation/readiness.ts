/**
 * Asks a young generation until every check has passed or its time is up. Owned by the generation, which says when it may
 * be asked: as long as somebody else can answer in its place, only checks that merely listen run (they must not miss a
 * word), and no time is up.
 */
import { formatDuration } from "../duration.ts";
import type { Check, CheckContext } from "../ready/check.ts";

export type ReadinessContext = Omit<CheckContext, "note" | "extend">;

/**
 * How far beyond --ready-timeout a generation may move its own deadline in all: one that is broken and goes on asking for time
 * must not stand in the way of the next one for ever.
 */
const EXTENSION_MAX_MS = 3_600_000;

const isListener = ({ needs }: Check): boolean => needs.includes("output") || needs.includes("notify");

export class Readiness implements Disposable {
  /** The checks that have not passed, and what stands in their way. */
  readonly #missing = new Map<Check, string>();
  readonly #running = new Map<Check, Disposable>();
  #deadline: Disposable;
  #deadlineAt: number;
  #latestAt: number;
  #mayAsk = false;
  #over = false;

  constructor(
    checks: readonly Check[],
    private readonly context: ReadinessContext,
    private readonly timeoutMs: number,
    private readonly outcome: (outcome: "ready" | { reason: string }) => void,
  ) {
    const { clock } = context;
    this.#deadlineAt = clock.now() + timeoutMs;
    this.#latestAt = this.#deadlineAt + EXTENSION_MAX_MS;
    this.#deadline = clock.after(timeoutMs, this.#giveUp);
    for (const check of checks) this.#missing.set(check, "it has not been asked yet");
    for (const check of checks) if (isListener(check)) this.#start(check);
  }

  /** Whoever answers from now on is the generation itself: its time begins. */
  ask(): void {
    if (this.#mayAsk || this.#over) return;
    this.#mayAsk = true;
    this.#latestAt = this.context.clock.now() + this.timeoutMs + EXTENSION_MAX_MS;
    this.#extend(this.timeoutMs);
    for (const check of [...this.#missing.keys()]) if (!isListener(check)) this.#start(check);
  }

  #start(check: Check): void {
    const context: CheckContext = {
      ...this.context,
      note: (obstacle) => this.#missing.has(check) && this.#missing.set(check, obstacle),
      extend: (ms) => this.#extend(ms),
    };
    this.#running.set(
      check,
      check.start(context, () => this.#passed(check)),
    );
    // A check that passed while it was being started could not be stopped then.
    if (!this.#missing.has(check)) this.#stop(check);
  }

  #passed(check: Check): void {
    if (this.#over || !this.#missing.delete(check)) return;
    this.#stop(check);
    if (this.#missing.size === 0) this.#end("ready");
  }

  #stop(check: Check): void {
    this.#running.get(check)?.[Symbol.dispose]();
    this.#running.delete(check);
  }

  /** Never shortens; NaN and what is no time change nothing. */
  #extend(ms: number): void {
    const now = this.context.clock.now();
    const at = Math.min(now + ms, this.#latestAt);
    if (!(at > this.#deadlineAt) || this.#over) return;
    this.#deadlineAt = at;
    this.#deadline[Symbol.dispose]();
    this.#deadline = this.context.clock.after(at - now, this.#giveUp);
  }

  readonly #giveUp = (): void => {
    if (!this.#mayAsk) return;
    const open = [...this.#missing].map(([check, obstacle]) => `${check.label}: ${obstacle}`).join("; ");
    this.#end({ reason: `not ready within ${formatDuration(this.timeoutMs)} (${open})` });
  };

  #end(outcome: "ready" | { reason: string }): void {
    this[Symbol.dispose]();
    this.outcome(outcome);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#deadline[Symbol.dispose]();
    for (const check of [...this.#running.keys()]) this.#stop(check);
  }
}
