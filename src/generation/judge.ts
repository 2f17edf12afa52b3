/**
 * `--judge exec:CMD`: run again and again while a generation waits to be confirmed. Its first failure is a rollback; no failure in all that
 * time is a confirmation. Owned by the supervisor.
 */
import { formatDuration } from "../duration.ts";
import type { Clock } from "../os/clock.ts";
import type { ExitStatus } from "../os/spawn.ts";
import { describeExit, failureBy } from "./failure.ts";
import type { UserLine } from "./user-line.ts";

/** From the end of one run to the next. */
const PAUSE_MS = 1000;
const RUN_MS = 10_000;

export interface Verdicts {
  passed(): void;
  failed(reason: string): void;
}

export class Judge implements Disposable {
  readonly #endAt: number;
  #running: UserLine | undefined;
  #timer: Disposable | undefined;
  #isOver = false;

  /** Runs CMD at once, and for the last time when `forMs` are over or nearly over. */
  constructor(
    private readonly clock: Clock,
    forMs: number,
    private readonly line: string,
    private readonly run: (line: string) => UserLine,
    private readonly verdicts: Verdicts,
  ) {
    this.#endAt = clock.now() + forMs;
    this.#ask();
  }

  #ask(): void {
    const startedAt = this.clock.now();
    try {
      const running = this.run(this.line);
      this.#running = running;
      this.#timer = this.clock.after(RUN_MS, () =>
        this.#fail(`did not end within ${formatDuration(RUN_MS)}`),
      );
      void running.exited.then((status) => this.#answered(status, this.clock.now() - startedAt));
    } catch (error) {
      this.#fail(`cannot be run: ${failureBy(error).reason}`);
    }
  }

  #answered(status: ExitStatus, tookMs: number): void {
    if (this.#isOver) return;
    this.#timer?.[Symbol.dispose]();
    this.#running = undefined;
    const leftMs = this.#endAt - this.clock.now();
    if (status.code !== 0) this.#fail(describeExit(status, tookMs));
    else if (leftMs > 0) this.#timer = this.clock.after(Math.min(PAUSE_MS, leftMs), () => this.#ask());
    else this.#conclude(() => this.verdicts.passed());
  }

  #fail(what: string): void {
    this.#conclude(() => this.verdicts.failed(`was not confirmed: judge '${this.line}' ${what}`));
  }

  #conclude(tell: () => void): void {
    this[Symbol.dispose]();
    tell();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#timer?.[Symbol.dispose]();
    this.#running?.kill();
    this.#running = undefined;
  }
}
