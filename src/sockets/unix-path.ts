/**
 * What stands at a Unix socket's path, and by which names: the public one, the hidden ones beside it, links about to be
 * renamed. Looking, making and removing; what is steered where is held-unix.ts's business.
 */
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { Place } from "../os/place.ts";
import type { SocketOptions } from "./held.ts";
import { occupantOf } from "./occupant.ts";
import { isMountPoint } from "./other-names.ts";
import { Probe } from "./probe.ts";
import { MAX_UNIX_PATH_BYTES } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

/**
 * Follows a symlink at the path itself, so that it goes on pointing at the socket; directories stay as written. Throws HupwatchError
 * of one that is not to be followed.
 */
export function throughLink(
  spec: SocketSpec,
  path: string,
  { users = [] }: Pick<SocketOptions, "users"> = {},
) {
  try {
    if (!lstatSync(path).isSymbolicLink()) return path;
  } catch {
    return path;
  }
  try {
    Place.requireFile(path, users);
    return realpathSync(path);
  } catch (error) {
    if (error instanceof HupwatchError) throw cannotFollow(spec, error);
    return path; // a link to nowhere is no socket, and is said to be none
  }
}

/** Each name is used once: what another user has put there before is never ours. */
const RANDOM_CHARACTERS = 6;

function random(): string {
  const [number = 0] = crypto.getRandomValues(new Uint32Array(1));
  return (number % 36 ** RANDOM_CHARACTERS).toString(36).padStart(RANDOM_CHARACTERS, "0");
}

/**
 * Hidden, in the same directory (rename must not cross file systems). The pid and the generation are for people and for
 * finding a listener again; the rest keeps others from having the name before us.
 */
export function privateName(
  path: string,
  generation: number,
  like?: { owner: string; random: string },
): string {
  const { owner, random: tail } = like ?? { owner: process.pid.toString(36), random: random() };
  const [long, short] = privatePrefixes(path).map((prefix) => `${prefix}${owner}-${generation}-${tail}`) as [
    string,
    string,
  ];
  // One byte is kept for the `~` of the link that rename moves.
  return Buffer.byteLength(long) < MAX_UNIX_PATH_BYTES ? long : short;
}

const ATTEMPTS = 4;

/** With another name where that one exists already, by chance or on purpose. */
export function withNewName<T>(path: string, generation: number, use: (name: string) => T): T {
  for (let attempt = 1; ; attempt++) {
    try {
      return use(basename(privateName(path, generation)));
    } catch (error) {
      const { errno, code = errno } = error as { errno?: unknown; code?: unknown };
      if (attempt === ATTEMPTS || (code !== "EEXIST" && code !== "EADDRINUSE")) throw error;
    }
  }
}

/** Several sockets of one directory need a name each, also where there is no room for their own. */
const privatePrefixes = (path: string): [long: string, short: string] => [
  join(dirname(path), `.${basename(path)}.hupwatch-`),
  join(dirname(path), `.hw${Bun.hash.crc32(basename(path)).toString(36)}-`),
];

/** A generation's own name beside that public path, of whichever hupwatch. */
export const isPrivateName = (name: string, path: string): boolean =>
  privatePrefixes(path).some((prefix) => name.startsWith(prefix) && !name.slice(prefix.length).includes("/"));

/** What a hupwatch left that was killed between two calls: links about to be renamed, names without a listener. */
export function removeDeadNames(place: Place, path: string, inUse: string | undefined): void {
  const prefixes = privatePrefixes(path).map((prefix) => basename(prefix));
  for (const entry of readdirSync(place.at("."))) {
    if (entry === inUse || !prefixes.some((prefix) => entry.startsWith(prefix))) continue;
    if (entry.endsWith("~") || !occupantOf(place.at(entry))) tryRemoveStale(place.at(entry));
  }
}

/** Another user's leftover in a sticky directory (/tmp) is not ours to remove, and not in the way. */
function tryRemoveStale(path: string): void {
  try {
    removeStale(path);
  } catch (error) {
    if (!["EPERM", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/** Takes away what a listener that is no longer wanted has on disk: its own name, and the public path if that leads to it. */
export function removeNames(address: string, privatePath: string): void {
  try {
    using place = Place.open(dirname(privatePath));
    const own = place.at(basename(privatePath));
    const inode = statOrUndefined(own)?.ino;
    if (inode === undefined) return;
    if (address.startsWith(UNIX)) unlinkIfOurs(place.at(basename(address)), inode);
    removeStale(own);
  } catch (error) {
    if (!(error instanceof HupwatchError) && !isMissing(error)) throw error;
  }
}

/** As `format` writes it. */
const UNIX = "unix:";

export const connectBeside = (place: Place, name: string) => Probe.unix(place.at(name));

/** Open as long as something is done in it. Throws HupwatchError where a socket cannot be put there. */
export function openDirectory(spec: SocketSpec, directory: string, users: readonly number[] = []): Place {
  try {
    const place = Place.open(directory, users);
    try {
      accessSync(place.at("."), constants.W_OK | constants.X_OK);
      return place;
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  } catch (cause) {
    if (cause instanceof HupwatchError) throw cannotFollow(spec, cause);
    if (isMissing(cause))
      throw new HupwatchError("bind.no-directory", `cannot bind '${spec.text}': no directory ${directory}`, {
        hint: `mkdir -p ${directory}`,
      });
    const { code, message } = cause as NodeJS.ErrnoException;
    const [why, hint] = unwritable(code, directory);
    throw new HupwatchError("bind.forbidden", `cannot bind '${spec.text}': ${directory} ${why ?? message}`, {
      hint: `${hint}, or choose another directory`,
      cause,
    });
  }
}

/** A directory that has gone, as it was. Throws what open(2), mkdir(2) and chown(2) give. */
export function makeDirectory(path: string, { uid, gid, mode }: Stats): void {
  using parent = Place.open(dirname(path));
  mkdirSync(parent.at(basename(path)), { mode: 0o700 });
  using made = parent.enter(basename(path));
  const is = made.stat();
  if (is.uid !== process.geteuid?.()) throw new Error(`${path} was replaced while it was made`);
  chmodSync(made.at("."), mode & 0o7777);
  if (is.uid !== uid || is.gid !== gid) chownSync(made.at("."), uid, gid);
}

function unwritable(code: string | undefined, directory: string): [why: string | undefined, hint: string] {
  if (code === "EROFS") return ["is on a read-only file system", "mount it writable"];
  if (code === "EACCES") return ["is not writable", `let user ${process.getuid?.()} write to ${directory}`];
  return [undefined, "mend that"];
}

const cannotFollow = ({ text }: SocketSpec, { code, message, hint }: HupwatchError) =>
  new HupwatchError(code, `cannot bind '${text}': ${message}`, hint === undefined ? {} : { hint });

/** Throws HupwatchError where no new socket could be put there. */
export function requirePlace(spec: SocketSpec, path: string, { users }: SocketOptions): void {
  using place = openDirectory(spec, dirname(path), users);
  rejectOccupied(spec, place, path);
}

/** rename(2) and unlink(2) refuse it with EBUSY. */
export const MOUNTED = {
  why: "something is mounted on it",
  hint: "unmount it ('findmnt' shows it); mount the directory of a socket, never its file",
};

/** What keeps a path from being ours. */
export interface Obstacle {
  /** The process that listens there, where it can be named. */
  pid: number | undefined;
  error: HupwatchError;
}

/** Throws where the path is not a socket, or another process's live one. Finding out costs one connect. */
export function rejectOccupied(spec: SocketSpec, place: Place, path: string): void {
  const obstacle = obstacleAt(spec, place, path);
  if (obstacle) throw obstacle.error;
}

/** Undefined where the path is free, or has a socket at which no process listens. Finding out costs one connect. */
export function obstacleAt(spec: SocketSpec, place: Place, path: string): Obstacle | undefined {
  const at = place.at(basename(path));
  const stat = statOrUndefined(at);
  if (!stat) return undefined;
  const inUse = (code: string, what: string, hint: string) =>
    new HupwatchError(code, `cannot bind '${spec.text}': ${what}`, { hint });
  if (!stat.isSocket()) {
    const error = inUse(
      "bind.not-a-socket",
      `${path} exists and is not a socket`,
      "remove it or choose another path",
    );
    return { pid: undefined, error };
  }
  const occupant = occupantOf(at);
  if (!occupant && isMountPoint(path))
    return { pid: undefined, error: inUse("bind.mounted", MOUNTED.why, MOUNTED.hint) };
  if (!occupant) return undefined;
  const { pid, wayOut } = occupant;
  const subject = pid === undefined ? "a process" : `process ${pid}`;
  return { pid, error: inUse("bind.in-use", `${subject} listens on it`, wayOut) };
}

export function removeStale(path: string): void {
  if (statOrUndefined(path)?.isSocket()) unlinkSync(path);
}

/** `inode`: of ours; undefined where there never was one. */
export function unlinkIfOurs(path: string, inode: number | undefined): void {
  if (inode !== undefined && statOrUndefined(path)?.ino === inode) unlinkSync(path);
}

export function statOrUndefined(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** ENOTDIR: a file stands where a directory should be. */
const isMissing = (error: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
