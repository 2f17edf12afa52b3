/**
 * What stands at a Unix socket's path, and by which names: the public one, the hidden ones beside it, links about to be
 * renamed. Looking, making and removing; what is steered where is held-unix.ts's business.
 */
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  type Stats,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { bind, SystemError } from "../os/libc.ts";
import { Place, withInode } from "../os/place.ts";
import { boundInode } from "../os/sockdiag.ts";
import type { SocketOptions } from "./held.ts";
import { occupantOf } from "./occupant.ts";
import { Probe } from "./probe.ts";
import { encode, MAX_UNIX_PATH_BYTES } from "./sockaddr.ts";
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

/** By its own path where that fits into sun_path: it is what ss(8) shows, and what its connections are known by. */
const inReach = (place: Place, name: string): string => {
  const path = join(place.path, name);
  return Buffer.byteLength(path) <= MAX_UNIX_PATH_BYTES ? path : place.at(name);
};

/**
 * bind(2), with its mode and its owner, none of which goes through a name that another process could have replaced meanwhile. Throws
 * SystemError, and HupwatchError where the owner cannot be set.
 */
export function bindBeside(
  fd: number,
  place: Place,
  name: string,
  { mode, owner }: Pick<SocketOptions, "mode" | "owner">,
): void {
  const address = encode({ family: "unix", path: inReach(place, name) });
  if (mode === undefined) bind(fd, address);
  else bindWithMode(fd, address, mode);
  // Where the way there was bent in that very moment it lies elsewhere, and is of no use.
  const stat = statOrUndefined(place.at(name));
  if (!stat?.isSocket()) throw new SystemError("bind", "ENOENT");
  try {
    if (owner) giveAway(fd, place, name, owner);
  } catch (error) {
    unlinkIfOurs(place.at(name), stat.ino);
    throw error;
  }
}

/** What bind(2) makes has the mode of the socket itself, less the umask. */
function bindWithMode(fd: number, address: Uint8Array, mode: number): void {
  const umask = process.umask(0);
  try {
    fchmodSync(fd, mode);
    bind(fd, address);
  } finally {
    process.umask(umask);
  }
}

/** By the inode that the kernel has bound, where it says which that is; else by what another user's file could not be. */
function giveAway(
  fd: number,
  place: Place,
  name: string,
  { uid, gid }: NonNullable<SocketOptions["owner"]>,
): void {
  try {
    withInode(place.at(name), ({ stat, self }) => {
      const bound = boundInode(fstatSync(fd).ino);
      const isOurs = stat.isSocket() && stat.uid === process.geteuid?.() && stat.nlink === 1;
      if (!isOurs || (bound !== undefined && bound !== stat.ino % 2 ** 32))
        throw new HupwatchError(
          "bind.replaced",
          `${name} in ${place.path} was replaced by another process while it was made`,
          {
            hint: "choose a directory that other users cannot write to",
          },
        );
      chownSync(self, uid, gid);
    });
  } catch (cause) {
    if (cause instanceof HupwatchError) throw cause;
    const { code = "?" } = cause as NodeJS.ErrnoException;
    throw new HupwatchError("bind.owner", `cannot change the owner of the socket in ${place.path}: ${code}`, {
      hint: "only root (CAP_CHOWN) may give a socket away; --socket-owner :GROUP may name a group of one's own",
      cause,
    });
  }
}

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
  if (is.uid !== uid || is.gid !== gid) chownSync(made.at("."), uid, gid);
  chmodSync(made.at("."), mode & 0o7777);
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

/** Undefined where the path is free, or has a socket that nobody listens at. Finding out costs one connect. */
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
  if (!occupant) return undefined;
  const { pid, wayOut } = occupant;
  const subject = pid === undefined ? "a process" : `process ${pid}`;
  return { pid, error: inUse("bind.in-use", `${subject} listens on it`, wayOut) };
}

export function removeStale(path: string): void {
  if (statOrUndefined(path)?.isSocket()) unlinkSync(path);
}

export function unlinkIfOurs(path: string, inode: number): void {
  if (statOrUndefined(path)?.ino === inode) unlinkSync(path);
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
