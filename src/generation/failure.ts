/** What went wrong with a generation, as one sentence for logs and reasons. */
import { formatDuration } from "../duration.ts";
import { EXIT, HupwatchError } from "../error.ts";
import type { Failure } from "../events/service-event.ts";
import type { ExitStatus } from "../os/spawn.ts";

export function describeExit({ code, signal }: ExitStatus, ageMs: number): string {
  const how = signal ? `was killed by ${signal}` : code === undefined ? "ended" : `exited with code ${code}`;
  return `${how} after ${formatDuration(ageMs)}`;
}

/** Trouble with a command or its sockets is its generation's failure, not the end of the service. A bug is thrown again. */
export function failureBy(error: unknown): Failure {
  if (error instanceof HupwatchError) {
    const wayOut = error.hint ? ` (to fix: ${error.hint})` : "";
    return { reason: `${error.message}${wayOut}`, exitCode: error.exitCode };
  }
  // A system call's, also the runtime's own, e.g. of a second process that could not be started beside the command.
  if (error instanceof Error && "syscall" in error) return { reason: error.message, exitCode: EXIT.failed };
  throw error;
}
