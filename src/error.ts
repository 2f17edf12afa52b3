/**
 * The one error class. Libraries throw it, only main.ts prints it and turns it into an exit code.
 * A message names the thing, the value and the way out ("To fix: ..." stands in `hint`).
 */
export class HupwatchError extends Error {
  override readonly name = "HupwatchError";
  /** Stable word for scripts and tests, e.g. `bind.in-use`. */
  readonly code: string;
  /** Process exit code: 125 hupwatch failed (usage included), 126 not executable, 127 not found; sub-commands use 2, 3, 4. */
  readonly exitCode: number;
  /** The way out, one sentence without the leading "To fix:". */
  readonly hint: string | undefined;

  constructor(
    code: string,
    message: string,
    options: { exitCode?: number; hint?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.exitCode = options.exitCode ?? 125;
    this.hint = options.hint;
  }
}

/** Exit codes of `run`, as `env(1)` and `timeout(1)` have them. */
export const EXIT = { failed: 125, notExecutable: 126, notFound: 127 } as const;

/** Exit codes of the sub-commands that answer a question. `none`: no hupwatch was found. */
export const ANSWER = { yes: 0, no: 1, usage: 2, timeout: 3, none: 4 } as const;

/** The hint, if any, as a part of the reason's sentence. */
export const wayOut = (hint: string | undefined): string => (hint ? `; to fix: ${hint}` : "");

/** The message of a failed call without the call's name and path: the message around it has the path as the user wrote it. */
export const systemReason = (cause: unknown): string =>
  cause instanceof Error ? cause.message.replace(/, \w+ '[^']*'( -> '[^']*')?$/, "") : String(cause);
