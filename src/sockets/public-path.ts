/** Giving a public Unix path to a listener, by a link of the name that it is bound to: the first time, and each time after. */
import { closeSync, constants, openSync, renameSync } from "node:fs";
import { basename } from "node:path";
import { HupwatchError, systemReason } from "../error.ts";
import { tryLock } from "../os/libc.ts";
import type { Place } from "../os/place.ts";
import type { SocketOptions } from "./held.ts";
import { furnish, linkAsOwner } from "./rights.ts";
import type { SocketSpec } from "./spec.ts";
import { MOUNTED, rejectOccupied, removeStale, withNewName } from "./unix-path.ts";

export interface Target {
  /** The directory that the path is in. */
  place: Place;
  path: string;
  spec: SocketSpec;
  options: SocketOptions;
  /** The server has bound the listener. */
  isServers: boolean;
}

interface Source {
  readonly generation: number;
  readonly privatePath: string;
}

/** link(2) fails where something stands at the path, so two starters cannot both have it. Throws HupwatchError. */
export function claim(target: Target, { privatePath }: Source): void {
  const { spec, place, path } = target;
  const own = place.at(basename(privatePath));
  try {
    using _lock = lock(place);
    rejectOccupied(spec, place, path);
    removeStale(place.at(basename(path)));
    if (target.isServers) furnish(target, own);
    linkAsOwner(own, place.at(basename(path)));
  } catch (error) {
    throw cannotBind(spec, error);
  }
}

/** Where nothing stands: never in place of a listener that another process binds there meanwhile. False: something stands there now. */
export function restore({ spec, place, path }: Target, { privatePath }: Source): boolean {
  try {
    linkAsOwner(place.at(basename(privatePath)), place.at(basename(path)));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cannotBind(spec, error);
  }
}

/** Whatever stands there. Atomic. Throws HupwatchError. */
export function replace(target: Target, { generation, privatePath }: Source): void {
  const { spec, place, path } = target;
  const own = place.at(basename(privatePath));
  try {
    if (target.isServers) furnish(target, own);
    withNewName(path, generation, (name) => {
      const link = place.at(`${name}~`);
      linkAsOwner(own, link);
      try {
        renameSync(link, place.at(basename(path)));
      } catch (error) {
        removeStale(link);
        throw error;
      }
    });
  } catch (error) {
    throw cannotBind(spec, error);
  }
}

function lock(place: Place): Disposable {
  const fd = openSync(place.at("."), constants.O_RDONLY | constants.O_DIRECTORY);
  // Held by another starter for the few calls between its check and its link: waiting longer would mean a stranger's.
  const deadline = performance.now() + 1000;
  while (!tryLock(fd) && performance.now() < deadline) Bun.sleepSync(2);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** What stood in the way, and the way out of that. */
const WAYS_OUT: Record<string, string> = {
  EBUSY: MOUNTED.hint,
  EPERM:
    "run hupwatch as the owner of the directory and of the socket, or let root keep CAP_CHOWN or CAP_FOWNER (fs.protected_hardlinks, sticky directories)",
  EACCES: "let hupwatch's user write to the directory",
  EROFS: "mount the file system writable",
  ENOSPC: "free space or inodes of the file system",
  EDQUOT: "free space or inodes of the user's quota",
};

export function cannotBind(spec: SocketSpec, cause: unknown): HupwatchError {
  if (cause instanceof HupwatchError) return cause;
  const { errno, code = errno } = cause as { errno?: unknown; code?: unknown };
  const why = code === "EBUSY" ? MOUNTED.why : systemReason(cause);
  return new HupwatchError("bind.failed", `cannot bind '${spec.text}': ${why}`, {
    hint: WAYS_OUT[String(code)] ?? "check the directory's owner, mode and free space",
    cause,
  });
}

/** Of a listener that no path leads to any more. */
export const nameless = (spec: SocketSpec): HupwatchError =>
  new HupwatchError("bind.nameless", `'${spec.text}' was removed with all names of its listener`, {
    hint: "start the service anew",
  });
