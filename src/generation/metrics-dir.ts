/**
 * Makes and removes the directory of metrics that is a generation's own (plan/metrics.ts). Its path comes from the environment, of
 * which the release may write a part: nothing is made, given away or removed but in a directory that the command's user may
 * write to, and never through a symlink of its last component.
 */
import { chownSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { HupwatchError, systemReason } from "../error.ts";
import { Place } from "../os/place.ts";
import { METRICS } from "../plan/metrics.ts";
import type { Owner } from "../plan/owner.ts";

/**
 * Empty, and owned like the place that it is in, for servers that change their user. `user`: what the command runs as, where that is
 * not ours. Throws HupwatchError.
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

/** The first directory on the way up that is there; `missing` gets the names below it, from above to below. */
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

/** One that is there already must be the owner's: what belongs to another user is neither given away nor emptied. */
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

/** The generation's processes have all ended: no process is left that could still write to it. */
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

/** Nothing but what prometheus_client writes, wherever a wrong value may lead. */
function empty(place: Place): void {
  for (const name of readdirSync(place.at("."))) if (name.endsWith(".db")) unlinkSync(place.at(name));
}
