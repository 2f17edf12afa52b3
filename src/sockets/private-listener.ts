/** A Unix listener in the run directory that only one generation has, so that only that generation can answer there. */
import { rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { bindPrivately, close, isReadable, listen, SystemError, socket } from "../os/libc.ts";
import { Place } from "../os/place.ts";
import type { OwnListener } from "./held.ts";
import { Probe } from "./probe.ts";
import { encode } from "./sockaddr.ts";
import { statOrUndefined } from "./unix-path.ts";

/** Readiness checks come one by one. */
const BACKLOG = 16;

/** Throws SystemError. */
export function privateListener(path: string): OwnListener {
  const fd = socket("unix");
  try {
    bindAlone(fd, path);
    listen(fd, BACKLOG);
  } catch (error) {
    close(fd);
    throw error;
  }
  return {
    ...{ heldBy: "hupwatch", fd },
    privatePath: path,
    proof: true,
    hasQueued: () => isReadable(fd),
    connect: () => Probe.unix(path),
    [Symbol.dispose]: () => {
      close(fd);
      // Some servers unlink at their exit what they were handed (daphne).
      removeAlone(path);
    },
  };
}

/**
 * bind(2) with mode 0600 in the run directory, if that is ours alone at this moment: a cleaner of /tmp may have removed it, and another
 * user may have made it anew. Throws SystemError.
 */
export function bindAlone(fd: number, path: string): void {
  using place = ownPlace(dirname(path));
  rmSync(place.at(basename(path)), { force: true });
  bindPrivately(fd, encode({ family: "unix", path }));
  if (!statOrUndefined(place.at(basename(path)))?.isSocket()) throw new SystemError("bind", "ENOENT");
}

/** Where the directory is another user's by now there is nothing of ours in it. */
export function removeAlone(path: string): void {
  try {
    using place = ownPlace(dirname(path));
    rmSync(place.at(basename(path)), { force: true });
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

function ownPlace(directory: string): Place {
  let place: Place;
  try {
    place = Place.open(directory);
  } catch (error) {
    throw new SystemError("bind", (error as NodeJS.ErrnoException).code ?? "EPERM");
  }
  if (place.isOursAlone()) return place;
  place[Symbol.dispose]();
  throw new SystemError("bind", "EPERM");
}
