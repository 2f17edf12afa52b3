/** Giving a public Unix path to a listener, by a link of the name that it is bound to: the first time, and each time after. */
import { chmodSync, chownSync, closeSync, constants, linkSync, openSync, renameSync } from "node:fs";
import { basename } from "node:path";
import { HupwatchError } from "../error.ts";
import { tryLock } from "../os/libc.ts";
import { type Place, withInode } from "../os/place.ts";
import type { SocketOptions } from "./held.ts";
import type { SocketSpec } from "./spec.ts";
import { rejectOccupied, removeStale, withNewName } from "./unix-path.ts";

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
  using _lock = lock(place);
  rejectOccupied(spec, place, path);
  removeStale(place.at(basename(path)));
  const own = place.at(basename(privatePath));
  furnish(target, own);
  try {
    linkSync(own, place.at(basename(path)));
  } catch (error) {
    throw cannotBind(spec, error);
  }
}

/** Where nothing stands: never in place of a listener that another process binds there meanwhile. False: something stands there now. */
export function restore({ spec, place, path }: Target, { privatePath }: Source): boolean {
  try {
    linkSync(place.at(basename(privatePath)), place.at(basename(path)));
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
  furnish(target, own);
  try {
    withNewName(path, generation, (name) => {
      const link = place.at(`${name}~`);
      linkSync(own, link);
      renameSync(link, place.at(basename(path)));
    });
  } catch (error) {
    throw cannotBind(spec, error);
  }
}

/** A server that binds by itself knows nothing of our options: what becomes public has them before it does. */
function furnish({ spec, options, isServers }: Target, own: string): void {
  const { mode, owner, users = [] } = options;
  if (!isServers || (mode === undefined && !owner)) return;
  withInode(own, ({ stat, self }) => {
    if (
      !stat.isSocket() ||
      (users.length > 0 && ![process.geteuid?.(), owner?.uid, ...users].includes(stat.uid))
    )
      throw new HupwatchError(
        "bind.replaced",
        `cannot give '${spec.text}' its mode and owner: what user ${stat.uid} has put there is not the server's socket`,
        { hint: "choose a directory that other users cannot write to" },
      );
    if (mode !== undefined) chmodSync(self, mode);
    if (owner) chownSync(self, owner.uid, owner.gid);
  });
}

function lock(place: Place): Disposable {
  const fd = openSync(place.at("."), constants.O_RDONLY | constants.O_DIRECTORY);
  // Held by another starter for the few calls between its check and its link: waiting longer would mean a stranger's.
  const deadline = performance.now() + 1000;
  while (!tryLock(fd) && performance.now() < deadline) Bun.sleepSync(2);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

export function cannotBind(spec: SocketSpec, cause: unknown): HupwatchError {
  if (cause instanceof HupwatchError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new HupwatchError("bind.failed", `cannot bind '${spec.text}': ${why}`, {
    hint: "check the directory's owner, mode and free space",
    cause,
  });
}

/** Of a listener that no path leads to any more. */
export const nameless = (spec: SocketSpec): HupwatchError =>
  new HupwatchError("bind.nameless", `'${spec.text}' was removed with all names of its listener`, {
    hint: "start the service anew",
  });
