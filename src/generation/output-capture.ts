/**
 * Reads what a young generation writes and notifies. It keeps the last lines of stderr, for the reason of a failure, and passes lines and
 * notifications to the checks. It ends when the generation is proven; the output then goes on without us.
 */
import { type Clock, poll } from "../os/clock.ts";
import type { NotifySocket, Trust } from "../os/notify-socket.ts";
import type { Os } from "../os/os.ts";
import type { Output, Tap, TeeStart } from "../os/output.ts";
import type { CheckContext, Need } from "../ready/check.ts";

/**
 * How many lines of stderr a reason keeps. If two workers of gunicorn 20.1 fail at once, their tracebacks and the master's follow each
 * other: twenty lines lost the one that names the cause.
 */
const KEPT_LINES = 60;

/** How long to wait for the last lines of a process that died young. */
const LAST_LINES_MS = 30;
const LAST_LINES_LOOK_MS = 2;

export interface Wants {
  stderr: boolean;
  needs: ReadonlySet<Need>;
  /** Where the command finds its NOTIFY_SOCKET; undefined makes an abstract name. */
  notifyDirectory: string | undefined;
  /** Which processes may speak for the command. */
  isTrusted: Trust;
}

export class OutputCapture implements Disposable, Pick<CheckContext, "onLine" | "onNotify"> {
  /** Oldest first; goes on filling while lines come. */
  readonly lastLines: string[] = [];
  readonly #taps: { outputs: readonly Output[]; tap: Tap }[] = [];
  readonly #subscribers = new Set<(line: string) => void>();
  #notify: NotifySocket | undefined;

  /** Throws SystemError where the kernel has no pipe or socket for us. */
  constructor(os: Os, wants: Wants) {
    for (const outputs of this.#wanted(wants, os)) {
      const tap = os.tap(outputs.at(-1) ?? 2);
      if (tap) this.#taps.push({ outputs, tap });
    }
    if (wants.needs.has("notify")) this.#notify = os.notifySocket(wants.notifyDirectory, wants.isTrusted);
  }

  /**
   * If both lead to one file or pipe, both go through one tee. Otherwise lines would change places, or be torn if a line and its end
   * are two writes.
   */
  #wanted({ stderr, needs }: Wants, os: Os): (readonly Output[])[] {
    const isStdoutWanted = needs.has("output");
    if (!isStdoutWanted && !stderr) return [];
    if (os.hasOneOutput()) return [[1, 2]];
    return isStdoutWanted ? [[1], [2]] : [[2]];
  }

  /** The command's descriptor in place of our own, where we look. */
  descriptor(output: Output): number | undefined {
    return this.#taps.find(({ outputs }) => outputs.includes(output))?.tap.descriptor;
  }

  /** Undefined where no check needs notifications. */
  get notifySocket(): string | undefined {
    return this.#notify?.path;
  }

  /** The command has its descriptors. */
  begin(tee: TeeStart): void {
    for (const { outputs, tap } of this.#taps)
      tap.begin(tee, (line) => this.#hear(outputs.includes(2), line));
  }

  /** Nothing more will come. */
  get isOver(): boolean {
    return this.#taps.every(({ tap }) => tap.isOver);
  }

  /** Calls `then` when nothing more will come, at once or after a moment. No client notices the wait. */
  awaitEnd(clock: Clock, then: () => void): Disposable | undefined {
    if (this.isOver) {
      then();
      return undefined;
    }
    const giveUpAt = clock.now() + LAST_LINES_MS;
    return poll(clock, LAST_LINES_LOOK_MS, () => {
      if (!this.isOver && clock.now() < giveUpAt) return "more";
      then();
      return "enough";
    });
  }

  #hear(isKept: boolean, line: string): void {
    if (isKept) {
      this.lastLines.push(line);
      if (this.lastLines.length > KEPT_LINES) this.lastLines.shift();
    }
    for (const subscriber of [...this.#subscribers]) subscriber(line);
  }

  readonly onLine = (subscriber: (line: string) => void): Disposable => {
    this.#subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) };
  };

  readonly onNotify: CheckContext["onNotify"] = (subscriber, ignored) =>
    this.#notify?.subscribe(subscriber, ignored) ?? { [Symbol.dispose]: () => {} };

  [Symbol.dispose](): void {
    for (const { tap } of this.#taps.splice(0)) tap[Symbol.dispose]();
    this.#notify?.[Symbol.dispose]();
    this.#notify = undefined;
  }
}
