/**
 * Runs the checks of a young generation until all have passed or its time is up. Owned by the generation, which says when it may
 * be probed. While another process can answer in its place, only the checks of output and notifications run (they must miss
 * nothing), and its time does not begin. After some seconds it reports its obstacles, and not only at the end.
 */
import { formatDuration } from "../duration.ts";
import { wayOut } from "../error.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import type { Check, CheckContext } from "../ready/check.ts";

export type ReadinessContext = Omit<CheckContext, "note" | "extend">;

export interface Patience {
  timeoutMs: number;
  /** No other generation serves and the user set no deadline: if it is late, that is only reported. */
  goesOn: boolean;
}

export interface Verdicts {
  ready(): void;
  failed(failure: { reason: string }): void;
  /** Its time is up, and it goes on. */
  overdue(): void;
  /** Told from time to time. */
  waiting(obstacle: string): void;
}

/**
 * By how much a generation may extend its own deadline beyond --ready-timeout in all: a broken one that extends it again and again must
 * not block the next one for ever.
 */
const EXTENSION_MAX_MS = 3_600_000;
/** Healthy servers are ready by then; the pauses between reports double. */
const FIRST_WAITING_MS = 10_000;
const WAITING_PAUSE_MAX_MS = 600_000;
const LONGER = "a longer --ready-timeout";

const onlyHears = ({ needs }: Check): boolean => needs.includes("output") || needs.includes("notify");

const ORDERLY_END: Aid = {
  what: "ending a readiness check",
  loss: "its files are closed when its process ends",
};

export class Readiness implements Disposable {
  /** The checks that have not passed, and what stands in their way. */
  readonly #missing = new Map<Check, { what: string; hint?: string | undefined }>();
  readonly #running = new Map<Check, Disposable>();
  #deadline: Disposable;
  #deadlineAt: number;
  #latestAt: number;
  #waitingTimer: Disposable;
  #mayProbe = false;
  #over = false;

  constructor(
    checks: readonly Check[],
    private readonly context: ReadinessContext,
    private readonly patience: Patience,
    private readonly verdicts: Verdicts,
  ) {
    const { clock } = context;
    this.#deadlineAt = clock.now() + patience.timeoutMs;
    this.#latestAt = this.#deadlineAt + EXTENSION_MAX_MS;
    this.#deadline = clock.after(patience.timeoutMs, this.#giveUp);
    this.#waitingTimer = clock.after(FIRST_WAITING_MS, () => this.#tell(FIRST_WAITING_MS));
    for (const check of checks) this.#missing.set(check, { what: "it has not been probed yet" });
    for (const check of checks) if (onlyHears(check)) this.#start(check);
  }

  /** From now on only the generation itself can answer: its time begins. */
  probe(): void {
    if (this.#mayProbe || this.#over) return;
    const { timeoutMs } = this.patience;
    this.#mayProbe = true;
    this.#latestAt = this.context.clock.now() + timeoutMs + EXTENSION_MAX_MS;
    this.#extend(timeoutMs);
    for (const check of [...this.#missing.keys()]) if (!onlyHears(check)) this.#start(check);
  }

  #start(check: Check): void {
    const context: CheckContext = {
      ...this.context,
      note: (what, hint) => this.#missing.has(check) && this.#missing.set(check, { what, hint }),
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
    if (this.#missing.size > 0) return;
    this[Symbol.dispose]();
    this.verdicts.ready();
  }

  #stop(check: Check): void {
    // What it has open may not be closed in order, e.g. a probe's way through the selector: that it has passed is true all the same.
    orWithout(ORDERLY_END, () => this.#running.get(check)?.[Symbol.dispose](), undefined);
    this.#running.delete(check);
  }

  /** Never shortens; NaN and what is not a time change nothing. */
  #extend(ms: number): void {
    const now = this.context.clock.now();
    const at = Math.min(now + ms, this.#latestAt);
    if (!(at > this.#deadlineAt) || this.#over) return;
    this.#deadlineAt = at;
    this.#deadline[Symbol.dispose]();
    this.#deadline = this.context.clock.after(at - now, this.#giveUp);
  }

  #tell(pauseMs: number): void {
    const next = Math.min(2 * pauseMs, WAITING_PAUSE_MAX_MS);
    this.#waitingTimer = this.context.clock.after(pauseMs, () => this.#tell(next));
    this.verdicts.waiting(`${this.#obstacles()}${this.#wayOut([])}`);
  }

  readonly #giveUp = (): void => {
    if (!this.#mayProbe) return;
    if (this.patience.goesOn) {
      this.verdicts.overdue();
      return;
    }
    const wayOut = this.#wayOut([LONGER]);
    const reason = `not ready within ${formatDuration(this.patience.timeoutMs)} (${this.#obstacles()})${wayOut}`;
    this[Symbol.dispose]();
    this.verdicts.failed({ reason });
  };

  #obstacles(): string {
    return [...this.#missing].map(([check, { what }]) => `${check.label}: ${what}`).join("; ");
  }

  #wayOut(more: readonly string[]): string {
    const hints = [...this.#missing.values()].flatMap(({ hint }) => (hint === undefined ? [] : [hint]));
    const all = [...hints, ...more];
    return wayOut(all.join(", or "));
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#deadline[Symbol.dispose]();
    this.#waitingTimer[Symbol.dispose]();
    for (const check of [...this.#running.keys()]) this.#stop(check);
  }
}
