/** The exit code of a run: the command's own, 128+n for a signal, and env(1)'s for hupwatch's own failures. */
import { constants } from "node:os";
import { EXIT } from "../error.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { StopStep } from "../plan/stop-sequence.ts";
import type { Ending } from "../swap/machine.ts";

export function exitCodeOf(ending: Ending, stopSequence: readonly StopStep[]): number {
  switch (ending.kind) {
    case "left":
      return 0;
    case "stopped": {
      if (ending.exit === undefined) return 0;
      // uvicorn and puma end by the stop signal that they were sent, a JVM and a shell exit with 128+n: both are success.
      const code = statusCode(ending.exit);
      const isOurs = stopSequence.some(
        (s) => s.signal !== "SIGKILL" && code === 128 + constants.signals[s.signal],
      );
      return isOurs ? 0 : code;
    }
    case "failed": {
      const { exit, exitCode } = ending.failure;
      return exitCode ?? (exit ? statusCode(exit) : EXIT.failed);
    }
  }
}

function statusCode({ code, signal }: ExitStatus): number {
  if (signal === undefined) return code ?? EXIT.failed;
  return 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
}
