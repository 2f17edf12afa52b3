/**
 * Finds the hupwatches of this user by the files in the run directories: the lock has the pid, and requests go to the socket. A lock is
 * never tried: at that instant a real start would find it taken.
 */
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isStarted, type StartedGeneration } from "../generation/record.ts";
import { openFilesOf } from "../os/descriptors.ts";
import { readSmall } from "../os/place.ts";
import { isHupwatch, isSame, processOf } from "../os/procfs.ts";
import { ownRunDir, runDirsBeside } from "./run-dir.ts";
import { readState } from "./state-file.ts";

export interface Instance {
  name: string;
  runDir: string;
  /** Undefined: no hupwatch lives; `left` is what it left running. 0: only its socket is known. */
  pid: number | undefined;
  /** Undefined where it runs without one. */
  socket: string | undefined;
  /** Generations that serve although their hupwatch is gone, until the next start takes them over. */
  left: StartedGeneration[];
}

/** Where a hupwatch of this user may have its files: the environment of a supervisor is not the shell's. */
export function runDirsOf(
  requested: string | undefined,
  env: Record<string, string | undefined>,
  uid: number,
): string[] {
  if (requested !== undefined) return [requested];
  const xdg = env.XDG_RUNTIME_DIR?.startsWith("/") ? [join(env.XDG_RUNTIME_DIR, "hupwatch")] : [];
  const own = [ownRunDir(uid), ...(uid === 0 ? [] : runDirsBeside(ownRunDir(uid), uid))];
  return [...new Set([...xdg, `/run/user/${uid}/hupwatch`, ...own])];
}

/** Those of them that are there and this user's own. */
export function ownRunDirs(env: Record<string, string | undefined>, uid: number): string[] {
  return runDirsOf(undefined, env, uid).filter((dir) => isDirectory(dir) && lstatSync(dir).uid === uid);
}

/** In the order of their names. */
export function findInstances(runDirs: readonly string[], uid: number): Instance[] {
  return runDirs
    .filter((dir) => isOurs(dir, uid))
    .flatMap((dir) => namesIn(dir).flatMap((name) => instanceIn(dir, name) ?? []))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/**
 * By the files that the process has open: its XDG_RUNTIME_DIR, --run-dir and /tmp (PrivateTmp=) may differ from ours. Undefined if no
 * hupwatch has that pid, or we may not look.
 */
export function instanceOf(pid: number): Instance | undefined {
  const process = processOf(pid);
  if (!process || process.state === "Z" || !isHupwatch(pid)) return undefined;
  const [, dir, name] = openFilesOf(pid).flatMap((file) => LOCKED.exec(file) ?? []);
  if (dir === undefined || name === undefined)
    return { name: `${pid}`, runDir: "", pid, socket: undefined, left: [] };
  const runDir = [dir, `/proc/${pid}/root${dir}`].find(
    (place) => lockedBy(join(place, `${name}.lock`)) === pid,
  );
  const socket = join(runDir ?? dir, `${name}.sock`);
  return {
    name,
    runDir: runDir ?? dir,
    pid,
    socket: runDir && existsSync(socket) ? socket : undefined,
    left: [],
  };
}

const LOCKED = /^(\/.*)\/([^/]+)\.lock(?: \(deleted\))?$/;

/** What others put into /tmp tells nothing. */
const isOurs = (dir: string, uid: number): boolean =>
  isDirectory(dir) && (lstatSync(dir).uid === uid || uid === 0);

const isDirectory = (path: string): boolean => existsSync(path) && lstatSync(path).isDirectory();

/** Of all that have, or had, files there. */
export function namesIn(dir: string): string[] {
  if (!isDirectory(dir)) return [];
  const names = readdirSync(dir).flatMap((file) => /^(.+)\.(?:lock|json)$/.exec(file)?.[1] ?? []);
  return [...new Set(names)];
}

function instanceIn(runDir: string, name: string): Instance | undefined {
  const state = readState(runDir, name);
  const socket = join(runDir, `${name}.sock`);
  const pid = lockedBy(join(runDir, `${name}.lock`));
  // The number may be a stranger's by now; the state file knows the start time. One that was killed is a zombie until its starter looks.
  const process = pid === undefined ? undefined : processOf(pid);
  const isNoted = state !== undefined && state.hupwatch.pid === pid;
  const alive = process && process.state !== "Z" && (!isNoted || isSame(state.hupwatch));
  if (alive) return { name, runDir, pid, socket: existsSync(socket) ? socket : undefined, left: [] };
  const left = (state?.generations ?? []).filter(isStarted).filter(isSame);
  return left.length > 0 ? { name, runDir, pid: undefined, socket: undefined, left } : undefined;
}

const PID_BYTES = 32;

function lockedBy(path: string): number | undefined {
  try {
    const pid = Number(readSmall(path, PID_BYTES)?.trim() || holderOf(path));
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** If the disk was full, the lock file has no pid; the kernel knows which process has the lock (proc_locks(5)). */
function holderOf(path: string): string | undefined {
  const line = new RegExp(`FLOCK +ADVISORY +WRITE +(\\d+) +[0-9a-f]+:[0-9a-f]+:${lstatSync(path).ino} `);
  return line.exec(readFileSync("/proc/locks", "latin1"))?.[1];
}
