/** What went wrong with a generation, as one sentence for logs and reasons. */
import { formatDuration } from "../duration.ts";
import { EXIT, HupwatchError, wayOut } from "../error.ts";
import type { Failure } from "../events/service-event.ts";
import { tellBug } from "../os/aid.ts";
import type { ExitStatus } from "../os/spawn.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import { servedByHupwatch } from "../sockets/occupant.ts";

export function describeExit({ code, signal }: ExitStatus, ageMs: number): string {
  const how = signal ? `was killed by ${signal}` : code === undefined ? "ended" : `exited with code ${code}`;
  return `${how} after ${formatDuration(ageMs)}`;
}

/** Of one that hupwatch did not send it: most often the kernel did, for want of memory. */
export function describeKill(exit: ExitStatus, { isBesideAnother }: { isBesideAnother: boolean }): string {
  // What a shell makes of it that stands between us and the server.
  const isKill = exit.signal === "SIGKILL" || exit.code === KILLED_BELOW_A_SHELL;
  if (!isKill) return "";
  return isBesideAnother ? " (out of memory? A swap needs memory for two generations)" : " (out of memory?)";
}

const KILLED_BELOW_A_SHELL = 128 + 9;

/**
 * Explains "address already in use": a program that itself binds an address that hupwatch holds only says that it is taken.
 * `held`: as `--bind` has them. Its `words` may name the port where its error does not.
 */
export function describeTaken(
  lines: readonly string[],
  held: readonly string[],
  { name, words }: Pick<RunPlan, "name" | "words">,
): string {
  const told = lines.filter((line) => TAKEN.test(line));
  if (told.length === 0) return "";
  for (const port of portsIn([...told, ...words])) {
    const other = servedByHupwatch(port, name);
    if (other !== undefined) return `; ${other}`;
  }
  if (held.length === 0) return "";
  return `; hupwatch itself holds ${held.join(", ")}${wayOut("--handover intercept gives it the listener, or it takes a descriptor ({fd}, LISTEN_FDS)")}`;
}

/** What may be a port in them, each once. */
const portsIn = (texts: readonly string[]): Set<number> =>
  new Set(texts.flatMap((text) => text.match(/(?<![\w.])\d{2,5}(?!\w|\.\d)/g) ?? []).map(Number));

/** strerror(3) of EADDRINUSE, and its name, which Node and others write. */
const TAKEN = /address already in use|EADDRINUSE|port is already allocated/i;

/** An error with a command or its sockets is its generation's failure, not the end of the service. So is a bug, which is also reported as one. */
export function failureBy(error: unknown): Failure {
  if (error instanceof HupwatchError)
    return { reason: `${error.message}${wayOut(error.hint)}`, exitCode: error.exitCode };
  // A system call's, also the runtime's own, e.g. of a second process that could not be started beside the command.
  if (error instanceof Error && "syscall" in error) return { reason: error.message, exitCode: EXIT.failed };
  tellBug(error);
  return { reason: error instanceof Error ? error.message : String(error), exitCode: EXIT.failed };
}
