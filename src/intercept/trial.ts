/**
 * Whether a command can be intercepted here: a program that ends at once gets a filter, and a call of its own is answered. Nothing less
 * tells: a container, a supervisor above or an old kernel may forbid each of the steps, and each by itself.
 */
import { isFiltered } from "../os/filtered.ts";
import { close, reap, SystemError } from "../os/libc.ts";
import { anonymousFile, socketPair, startProgram, waitFor, writeAll } from "../os/libc-intercept.ts";
import type { ExecOrder } from "./become-command.ts";
import { filterFor, isKnownMachine } from "./calls.ts";
import { awaitFilter } from "./installed-filter.ts";
import { OWN_ENVIRONMENT, ownProgram, whyNotByProgram } from "./own-program.ts";
import { descriptorsFor } from "./programs.ts";
import { describeRefusal } from "./refusal.ts";

/** Far longer than a program needs that has nothing left to do. */
const END_MS = 2000;

/** Why the binds of a command cannot be seen here; undefined where they can. It costs the start of a program of ours. */
export const whyNotIntercepted = (): string | undefined =>
  // What a filter forbids may end the process that does it: that is then another program, which costs a second start.
  isFiltered() ? whyNotByProgram() : whyNot();

/** Writes why not, or nothing where it can be. */
export function tryInterception(): void {
  const why = whyNot();
  if (why !== undefined) writeAll(1, Buffer.from(why));
}

function whyNot(): string | undefined {
  try {
    tryIt();
    return undefined;
  } catch (error) {
    return error instanceof SystemError ? describeRefusal(error) : String(error);
  }
}

/** Throws SystemError. */
function tryIt(): void {
  if (!isKnownMachine(process.arch)) throw new SystemError("seccomp", "ENOSYS");
  const order: ExecOrder = { argv: [], env: [], directory: "/", filter: filterFor("ports", process.arch) };
  using open = new DisposableStack();
  const file = open.adopt(anonymousFile("hupwatch-trial"), close);
  writeAll(file, Buffer.from(JSON.stringify(order)));
  const [ours, theirs] = socketPair("packets");
  open.adopt(ours, close);
  const pid = startWith([file, theirs]);
  const { notify } = awaitFilter(ours);
  close(notify);
  awaitEnd(pid, ours);
}

/** The second descriptor is its own alone from then on. */
function startWith([file, theirs]: [file: number, theirs: number]): number {
  try {
    using standard = descriptorsFor(["ignore", "ignore", "ignore"]);
    return startProgram([...ownProgram("exec"), "3", "4"], OWN_ENVIRONMENT, [...standard.fds, file, theirs]);
  } finally {
    close(theirs);
  }
}

/** It has said that it ends. What does not is left to the reaper: nothing waits for it. */
function awaitEnd(pid: number, socket: number): void {
  waitFor([socket], END_MS);
  for (let look = 0; look < END_MS && !reap(pid); look++) Bun.sleepSync(1);
}
