/**
 * Makes and removes a generation's own directory of metrics (plan/metrics.ts). Its path comes from the environment, which the release may
 * write in part. So it is made, given away or removed only in a directory to which the command's user may write, and never through a
 * symlink as last component.
 */
import { chownSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { HupwatchError, systemReason } from "../error.ts";
import { Place } from "../os/place.ts";
import { METRICS } from "../plan/metrics.ts";
import type { Owner } from "../plan/owner.ts";

/**
 * Empty, and owned like its parent, for servers that change their user. `user`: the command's user, if that is not ours. Throws
 * HupwatchError.
 */
export function makeMetricsDirectory(path: string, user?: Owner): void {
  try {
    const missing: string[] = [];
    using place = nearest(resolve(path, ".."), missing);
    const owner = ownerIn(place, user);
    const made = new DisposableStack();
    using _made = made;
    let at = place;
    for (const name of [...missing, basename(path)]) at = made.use(make(at, name, owner));
    empty(at);
  } catch (cause) {
    const why = systemReason(cause);
    throw new HupwatchError("metrics.unwritable", `cannot make ${METRICS}, ${path}: ${why}`, {
      hint: "give its parent directory to the command's user, or choose another one",
      cause,
    });
  }
}

/** The nearest parent that exists; `missing` gets the names below it, topmost first. */
function nearest(path: string, missing: string[]): Place {
  try {
    return Place.open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || path === "/") throw error;
    missing.unshift(basename(path));
    return nearest(dirname(path), missing);
  }
}

function ownerIn(place: Place, user: Owner | undefined): Owner {
  const { uid, gid } = place.stat();
  if (!user || user.uid === uid) return { uid, gid };
  if (place.isOpenToAll()) return user;
  throw new Error(`${place.path} belongs to user ${uid}, and the command runs as user ${user.uid}`);
}

/** An existing one must be the owner's: another user's directory is neither given away nor emptied. */
function make(place: Place, name: string, owner: Owner): Place {
  const isNew = unlessThere(() => mkdirSync(place.at(name)));
  const made = place.enter(name);
  const { uid } = made.stat();
  if (process.getuid?.() !== 0 || uid === owner.uid) return made;
  if (isNew && uid === 0) {
    chownSync(made.at("."), owner.uid, owner.gid);
    return made;
  }
  made[Symbol.dispose]();
  throw new Error(`${name} exists and belongs to user ${uid}`);
}

function unlessThere(step: () => void): boolean {
  try {
    step();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** Call it when all processes of the generation have ended: none can write to it any more. */
export function removeMetricsDirectory(path: string, user?: Owner): void {
  try {
    using place = Place.open(dirname(path));
    const owner = ownerIn(place, user);
    using own = place.enter(basename(path));
    if (process.getuid?.() === 0 && own.stat().uid !== owner.uid) return;
    empty(own);
    rmdirSync(place.at(basename(path)));
  } catch {
    // Gone already, or it holds files that are not ours.
  }
}

/** Only files of prometheus_client, in case a wrong value leads elsewhere. */
function empty(place: Place): void {
  for (const name of readdirSync(place.at("."))) if (name.endsWith(".db")) unlinkSync(place.at(name));
}
