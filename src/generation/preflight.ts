/**
 * `--preflight CMD`: the user's checks before a generation is started, one line after the other. Owned by the generation. It ends with
 * the first line that fails or exceeds the deadline; the output of that line is the reason.
 */
import { formatDuration } from "../duration.ts";
import { EXIT } from "../error.ts";
import type { Failure } from "../events/service-event.ts";
import type { Os } from "../os/os.ts";
import type { TeeStart } from "../os/output.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { describeExit, failureBy } from "./failure.ts";
import { OutputCapture } from "./output-capture.ts";
import { runLine, type UserLine } from "./user-line.ts";

export interface Verdicts {
  /** All of them. */
  passed(): void;
  failed(failure: Failure): void;
  /** One of them, after so many milliseconds. */
  linePassed(line: string, tookMs: number): void;
}

export class Preflight implements Disposable {
  readonly #left: string[];
  #capture: OutputCapture | undefined;
  #running: UserLine | undefined;
  #looking: Disposable | undefined;
  readonly #deadline: Disposable;
  #isOver = false;

  constructor(
    private readonly os: Os,
    private readonly plan: RunPlan,
    private readonly env: Record<string, string>,
    private readonly verdicts: Verdicts,
  ) {
    this.#left = [...plan.preflights];
    this.#deadline = os.clock.after(plan.readyTimeoutMs, () => this.#late());
  }

  begin(): void {
    const [line] = this.#left;
    if (line === undefined) {
      this[Symbol.dispose]();
      this.verdicts.passed();
      return;
    }
    const startedAt = this.os.clock.now();
    try {
      this.#run(line, (status) => this.#ended(line, status, this.os.clock.now() - startedAt));
    } catch (error) {
      this.#fail(line, `cannot be run: ${failureBy(error).reason}`);
    }
  }

  #run(line: string, ended: (status: ExitStatus) => void): void {
    const { os, plan, env } = this;
    const capture = new OutputCapture(os, {
      stderr: plan.watchStderr,
      needs: new Set(),
      notifyDirectory: undefined,
      isTrusted: () => false,
    });
    this.#capture = capture;
    // stdout belongs to the server.
    this.#running = runLine(os, plan, line, { env, output: capture.descriptor(2) ?? 2 });
    const tee: TeeStart = { account: plan, env, keptOpen: [] };
    capture.begin(tee);
    void this.#running.exited.then((status) => this.#isOver || ended(status));
  }

  #ended(line: string, status: ExitStatus, tookMs: number): void {
    this.#running = undefined;
    if (status.code !== 0) {
      const fail = () => this.#fail(line, describeExit(status, tookMs));
      this.#looking = this.#capture?.awaitEnd(this.os.clock, fail);
      return;
    }
    this.#capture?.[Symbol.dispose]();
    this.#left.shift();
    this.verdicts.linePassed(line, tookMs);
    this.begin();
  }

  #late(): void {
    const [line = ""] = this.#left;
    this.#fail(line, `did not end within ${formatDuration(this.plan.readyTimeoutMs)} (--ready-timeout)`);
  }

  #fail(line: string, what: string): void {
    const stderr = this.#capture?.lastLines;
    this[Symbol.dispose]();
    this.verdicts.failed({
      reason: `was not started: preflight '${line}' ${what}`,
      exitCode: EXIT.failed,
      ...(stderr && stderr.length > 0 ? { stderr } : {}),
    });
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#deadline[Symbol.dispose]();
    this.#looking?.[Symbol.dispose]();
    this.#running?.kill();
    this.#capture?.[Symbol.dispose]();
  }
}
