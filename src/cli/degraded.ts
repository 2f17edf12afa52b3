/** Parts that a service can do without: if one fails, the log says what that costs, and the service runs all the same. */

import { HupwatchError } from "../error.ts";
import type { RunDir } from "../instance/run-dir.ts";
import type { Log } from "../log.ts";
import type { Aid } from "../os/aid.ts";
import { SystemError } from "../os/libc.ts";
import { MAX_UNIX_PATH_BYTES } from "../sockets/sockaddr.ts";

/** The run directory and its files. A requested directory must work, and that an instance is already running is not its fault. */
export function orWithoutRunDir<T>(runDir: RunDir, log: Log, use: () => T): T | undefined {
  try {
    return use();
  } catch (error) {
    const fatal =
      runDir.isRequested || !(error instanceof HupwatchError) || error.code === "instance.running";
    if (fatal) throw error;
    log.warn(
      "run-dir.unusable",
      `${error.message}; only signals reach this hupwatch, and a later start finds the service only by its marks and listeners: choose another place with --run-dir`,
    );
    return undefined;
  }
}

/** The warning if an aid is lacking. */
export const without = (log: Log) => (aid: Aid, why: string) =>
  log.warn("aid.lacking", `${aid.what} is not possible (${why}): ${aid.loss}`, { aid: aid.what });

/** The warning if the state file cannot be written. */
export const untold = (runDir: string, log: Log) => (why: string) =>
  log.warn(
    "state.unwritable",
    `cannot write to ${runDir}: ${why}; until that is repaired, a restart finds the service only by its marks and listeners`,
  );

/** The guard of -k. Without it the promise of -k holds only for the command's first process, which the kernel ends. */
export function orUnguarded<T>(log: Log, start: () => T): T | undefined {
  try {
    return start();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.warn(
      "kill-at-exit.weak",
      `if hupwatch is killed (kill -9), processes of the command may remain: ${why}`,
    );
    return undefined;
  }
}

/** The control socket, which only requests need. */
export function orUnasked(path: string, log: Log, open: (path: string) => void): void {
  try {
    open(path);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const tooLong = Buffer.byteLength(path) > MAX_UNIX_PATH_BYTES;
    const why = tooLong
      ? `the path has more than ${MAX_UNIX_PATH_BYTES} bytes: choose a shorter --run-dir`
      : error.message;
    log.warn("control.unavailable", `no control socket ${path}: ${why}`);
  }
}
