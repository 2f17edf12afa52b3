/** The private directory of runtime files: 0700, ours, and one lock per instance name that only a living hupwatch holds. */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { HupwatchError } from "../error.ts";
import { tryLock } from "../os/libc.ts";
import { statOrUndefined } from "../sockets/unix-path.ts";

export interface RunDir {
  path: string;
  /** Somebody named it; then trouble with it is an error, not a remark. */
  asked: boolean;
}

/** Where runtime files live: the asked for place, else $XDG_RUNTIME_DIR, else /run for root, else /tmp. */
export function chooseRunDir(
  asked: string | undefined,
  env: Record<string, string | undefined>,
  uid: number,
): RunDir {
  if (asked !== undefined) return { path: asked, asked: true };
  if (env.XDG_RUNTIME_DIR?.startsWith("/"))
    return { path: join(env.XDG_RUNTIME_DIR, "hupwatch"), asked: false };
  return { path: uid === 0 ? "/run/hupwatch" : `/tmp/hupwatch-${uid}`, asked: false };
}

const FIX = { hint: "remove it, or choose another one with --run-dir" };

/** Makes it where it is missing; returns it. Throws where it is not ours alone: /tmp is everybody's. */
export function openRunDir(path: string, uid: number): string {
  requireOwn(path, uid);
  try {
    mkdirSync(path, { mode: 0o700, recursive: true });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HupwatchError("run-dir.unusable", `cannot use the run directory ${path}: ${why}`, {
      ...FIX,
      cause,
    });
  }
  // Somebody else may have made it meanwhile.
  requireOwn(path, uid);
  return path;
}

/** Throws where it is there and not ours alone. */
export function requireOwn(path: string, uid: number): void {
  const stat = statOrUndefined(path);
  if (!stat) return;
  if (!stat.isDirectory())
    throw new HupwatchError("run-dir.unusable", `the run directory ${path} is no directory`, FIX);
  if (stat.uid !== uid)
    throw new HupwatchError("run-dir.foreign", `the run directory ${path} belongs to user ${stat.uid}`, FIX);
  if ((stat.mode & 0o077) !== 0)
    throw new HupwatchError("run-dir.open", `the run directory ${path} is open to others`, {
      hint: `chmod 700 ${path}`,
    });
}

/** The lock of one instance; the kernel lets go of it when this process ends, however it ends. */
export class InstanceLock implements Disposable {
  readonly #fd: number;

  readonly #path: string;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /** Throws HupwatchError where a living hupwatch of that name has it, with its pid. */
  static take(runDir: string, name: string, pid: number): InstanceLock {
    const path = join(runDir, `${name}.lock`);
    const fd = openLockFile(path, runDir);
    if (!tryLock(fd)) {
      const holder = readFileSync(path, "latin1").trim() || "?";
      closeSync(fd);
      throw runsAlready(name, holder);
    }
    // The one before removed the file between our open and our lock: what we hold now is a lock on nothing.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) {
      closeSync(fd);
      return InstanceLock.take(runDir, name, pid);
    }
    try {
      ftruncateSync(fd, 0);
      writeSync(fd, `${pid}\n`, 0);
    } catch {
      // A full disk costs the next starter the pid in its message, nothing else.
    }
    return new InstanceLock(fd, path);
  }

  [Symbol.dispose](): void {
    rmSync(this.#path, { force: true });
    closeSync(this.#fd);
  }
}

export const runsAlready = (name: string, holder: string | number) =>
  new HupwatchError("instance.running", `hupwatch '${name}' runs already as process ${holder}`, {
    hint: `kill -HUP ${holder} swaps it, kill -TERM ${holder} ends it; --name starts another one beside it`,
  });

function openLockFile(path: string, runDir: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HupwatchError("run-dir.unusable", `cannot write to the run directory ${runDir}: ${why}`, {
      hint: "make it writable, or choose another one with --run-dir",
      cause,
    });
  }
}

/** Where the keeper of an intercepted service is found by the next hupwatch. */
export const doorOf = (runDir: string, name: string): string => join(runDir, `${name}.keeper`);
