/**
 * Whether a command can be intercepted here: a program that ends at once gets a filter, and a call of its own is answered. Nothing less
 * tells: a container, a supervisor above or an old kernel may forbid each of the steps, and each by itself. A program of its own, since only
 * a parent that waits can answer.
 */
import { SystemError } from "../os/libc.ts";
import { anonymousFile, socketPair, startProgram, writeAll } from "../os/libc-intercept.ts";
import type { ExecOrder } from "./become-command.ts";
import { filterFor, isKnownMachine } from "./calls.ts";
import { awaitFilter } from "./installed-filter.ts";
import { OWN_ENVIRONMENT, ownProgram } from "./own-program.ts";
import { descriptorsFor } from "./programs.ts";
import { describeRefusal } from "./refusal.ts";

/** Writes why not, or nothing where it can be. */
export function tryInterception(): void {
  try {
    tryIt();
  } catch (error) {
    writeAll(1, Buffer.from(error instanceof SystemError ? describeRefusal(error) : String(error)));
  }
}

/** Throws SystemError. What it opens is closed with the program. */
function tryIt(): void {
  if (!isKnownMachine(process.arch)) throw new SystemError("seccomp", "ENOSYS");
  const order: ExecOrder = { argv: [], env: [], directory: "/", filter: filterFor("ports", process.arch) };
  const file = anonymousFile("hupwatch-trial");
  writeAll(file, Buffer.from(JSON.stringify(order)));
  const [ours, theirs] = socketPair("packets");
  using standard = descriptorsFor(["ignore", "ignore", "ignore"]);
  startProgram([...ownProgram(), "exec", "3", "4"], OWN_ENVIRONMENT, [...standard.fds, file, theirs]);
  awaitFilter(ours);
}
