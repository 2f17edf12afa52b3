/** What a service can do without: where it fails, what is lost is said, and the service runs all the same. */

import { HupwatchError } from "../error.ts";
import type { RunDir } from "../instance/run-dir.ts";
import type { Log } from "../log.ts";
import type { Aid } from "../os/aid.ts";
import { SystemError } from "../os/libc.ts";
import { MAX_UNIX_PATH_BYTES } from "../sockets/sockaddr.ts";

/** The run directory and what is in it: one that was requested must work, and a living instance is not the directory's fault. */
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

/** What is said of an aid that is lacking. */
export const without = (log: Log) => (aid: Aid, why: string) =>
  log.warn("aid.lacking", `${aid.what} is not possible (${why}): ${aid.loss}`, { aid: aid.what });

/** What is said of a state file that cannot be written. */
export const untold = (runDir: string, log: Log) => (why: string) =>
  log.warn(
    "state.unwritable",
    `cannot write to ${runDir}: ${why}; until that is repaired, a restart finds the service only by its marks and listeners`,
  );

/** The guard of -k: without, only the kernel keeps its promise, for the command's first process. */
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

/** The control socket: without it no request can be made. */
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
