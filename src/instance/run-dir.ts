/** The private directory of runtime files: 0700, ours, and one lock per instance name that only a living hupwatch holds. */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  type Stats,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { HupwatchError, systemReason } from "../error.ts";
import { tryLock } from "../os/libc.ts";
import { Place } from "../os/place.ts";
import { statOrUndefined } from "../sockets/unix-path.ts";

export interface RunDir {
  path: string;
  /** The user named it: then a problem with it is an error, not a warning. */
  isRequested: boolean;
}

/** Where runtime files live: the requested directory, else $XDG_RUNTIME_DIR, else /run for root, else /tmp. */
export function chooseRunDir(
  requested: string | undefined,
  env: Record<string, string | undefined>,
  uid: number,
): RunDir {
  if (requested !== undefined) return { path: requested, isRequested: true };
  if (env.XDG_RUNTIME_DIR?.startsWith("/"))
    return { path: join(env.XDG_RUNTIME_DIR, "hupwatch"), isRequested: false };
  return { path: ownRunDir(uid), isRequested: false };
}

/** If this user has no runtime directory. */
export const ownRunDir = (uid: number): string => (uid === 0 ? "/run/hupwatch" : `/tmp/hupwatch-${uid}`);

const FIX = { hint: "remove it, or choose another one with --run-dir" };

/**
 * Makes it if it is missing, and returns it. Throws if it is not ours alone: all users may write to /tmp. If it was not requested and
 * another user was there first, it is one of our own beside that.
 */
export function openRunDir({ path, isRequested }: RunDir, uid: number): string {
  try {
    enterRunDir(path, uid)[Symbol.dispose]();
    return path;
  } catch (error) {
    const isTaken = error instanceof HupwatchError && error.code === "run-dir.foreign";
    if (!isTaken || isRequested || !path.startsWith("/tmp/")) throw error;
    return runDirsBeside(path, uid)[0] ?? mkdtempSync(`${path}-`);
  }
}

/** With a name that cannot be guessed; only what is ours is found. */
export function runDirsBeside(path: string, uid: number): string[] {
  const prefix = `${basename(path)}-`;
  const isOurs = (found: string) => {
    const stat = statOrUndefined(found);
    return stat?.isDirectory() && stat.uid === uid && (stat.mode & 0o077) === 0;
  };
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(dirname(path), name))
    .filter(isOurs);
}

/**
 * Open for one step, and ours alone, by a look at the directory itself: a cleaner of /tmp may have removed it, and another user
 * made it anew. Made where it is missing; logind removes a user's runtime directory at the last logout, whatever still runs.
 */
export function enterRunDir(path: string, uid: number): Place {
  try {
    mkdirSync(path, { mode: 0o700, recursive: true });
    using parent = Place.open(join(resolve(path), ".."));
    const place = parent.enter(basename(resolve(path)));
    try {
      rejectForeign(path, place.stat(), uid);
      return place;
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof HupwatchError && cause.code.startsWith("run-dir.")) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOTDIR" || code === "EEXIST") requireOwn(path, uid);
    throw new HupwatchError(
      "run-dir.unusable",
      `cannot use the run directory ${path}: ${systemReason(cause)}`,
      {
        hint: "create it, owned by this user and with mode 0700, or choose another one with --run-dir",
        cause,
      },
    );
  }
}

/** The warning if a requested one is below a directory that does not exist: all of it is made, and it may be a typo. */
export function runDirNote({ path, isRequested }: RunDir): string | undefined {
  const above = dirname(resolve(path));
  if (!isRequested || statOrUndefined(above)) return undefined;
  return `--run-dir ${path}: ${above} did not exist, and is created, too; correct it if that is a typo: 'hupwatch reload' and 'status' need the same --run-dir`;
}

/** Throws where it is there and not ours alone. */
export function requireOwn(path: string, uid: number): void {
  const stat = statOrUndefined(path);
  if (stat) rejectForeign(path, stat, uid);
}

function rejectForeign(path: string, stat: Stats, uid: number): void {
  if (!stat.isDirectory())
    throw new HupwatchError("run-dir.unusable", `the run directory ${path} is not a directory`, FIX);
  if (stat.uid !== uid)
    throw new HupwatchError("run-dir.foreign", `the run directory ${path} belongs to user ${stat.uid}`, FIX);
  if ((stat.mode & 0o077) !== 0)
    throw new HupwatchError("run-dir.open", `the run directory ${path} is open to others`, {
      hint: `give --run-dir a directory that nothing else uses, for example ${join(path, "hupwatch")}; if it is one, chmod 700 ${path}`,
    });
}

const LOCK = ".lock";

/** The lock of one instance; the kernel lets go of it when this process ends, however it ends. */
export class InstanceLock implements Disposable {
  private constructor(
    private fd: number,
    private readonly runDir: string,
    private readonly file: string,
  ) {}

  /** True where it was: the directory, or the file in it, has been removed since. Throws as `take` does. */
  renew(pid: number): boolean {
    if (statOrUndefined(join(this.runDir, this.file))?.ino === fstatSync(this.fd).ino) return false;
    const anew = InstanceLock.take(this.runDir, this.file.slice(0, -LOCK.length), pid);
    closeSync(this.fd);
    this.fd = anew.fd;
    return true;
  }

  /** Throws HupwatchError where a living hupwatch of that name has it, with its pid. */
  static take(runDir: string, name: string, pid: number): InstanceLock {
    const file = `${name}${LOCK}`;
    using place = enterRunDir(runDir, process.getuid?.() ?? 0);
    const fd = openLockFile(place, file);
    if (!tryLock(fd)) {
      const holder = readFileSync(fd, "latin1").trim() || "?";
      closeSync(fd);
      throw alreadyRunning(name, holder);
    }
    // The last holder removed the file between our open and our lock: our lock is on a file that has no name.
    if (statOrUndefined(place.at(file))?.ino !== fstatSync(fd).ino) {
      closeSync(fd);
      return InstanceLock.take(runDir, name, pid);
    }
    try {
      ftruncateSync(fd, 0);
      writeSync(fd, `${pid}\n`, 0);
    } catch {
      // A full disk costs the next starter the pid in its message, nothing else.
    }
    return new InstanceLock(fd, runDir, file);
  }

  [Symbol.dispose](): void {
    removeOwn(this.runDir, this.file);
    closeSync(this.fd);
  }
}

/** Where the directory is another one by now there is nothing of ours in it. */
export function removeOwn(runDir: string, file: string): void {
  try {
    using place = enterRunDir(runDir, process.getuid?.() ?? 0);
    rmSync(place.at(file), { force: true });
  } catch (error) {
    if (!(error instanceof HupwatchError)) throw error;
  }
}

export const alreadyRunning = (name: string, holder: string | number) =>
  new HupwatchError("instance.running", `hupwatch '${name}' is already running as process ${holder}`, {
    hint: `kill -HUP ${holder} swaps it, kill -TERM ${holder} ends it; with another --name a second one runs beside it`,
  });

function openLockFile(place: Place, file: string): number {
  try {
    return openSync(place.at(file), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (cause) {
    const why = systemReason(cause);
    throw new HupwatchError("run-dir.unusable", `cannot write to the run directory ${place.path}: ${why}`, {
      hint: "make it writable, or choose another one with --run-dir",
      cause,
    });
  }
}

/** Where the keeper of an intercepted service is found by the next hupwatch. */
export const doorOf = (runDir: string, name: string): string => join(runDir, `${name}.keeper`);
