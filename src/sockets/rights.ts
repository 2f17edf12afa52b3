/**
 * The rights of a Unix socket's file: its mode, its owner, and what may remove it. Nothing is done through a name that another
 * process could have replaced meanwhile. Operations that only an owner may do are done as the owner, since root may lack CAP_FOWNER
 * (capabilities(7)) in a container.
 */
import { chmodSync, chownSync, fchmodSync, fstatSync, linkSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { orWithout } from "../os/aid.ts";
import { bind, SystemError } from "../os/libc.ts";
import { type Inode, type Place, withInode } from "../os/place.ts";
import { boundInode } from "../os/socket-table.ts";
import type { SocketOptions } from "./held.ts";
import { encode, MAX_UNIX_PATH_BYTES } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import { statOrUndefined, unlinkIfOurs } from "./unix-path.ts";

/**
 * systemd-tmpfiles(8) removes old files, but not those with this bit (tmpfiles.d(5)), which means nothing to the kernel on a socket. It
 * recognises other live sockets by the name to which they were bound, and the public path is only a link. The bit stays when hupwatch is gone.
 */
const STICKY = 0o1000;

/** Cleaned of what is old wherever systemd runs: /tmp, /var/tmp and the like, to which every user may write. */
function isCleaned(place: Place): boolean {
  const isEverybodys = (path: string): boolean =>
    (statSync(path).mode & 0o1002) === 0o1002 || (path !== "/" && isEverybodys(dirname(path)));
  const aid = {
    what: `reading the directories above ${place.path}`,
    loss: "systemd-tmpfiles may remove the socket",
  };
  return orWithout(aid, () => isEverybodys(realpathSync(place.at("."))), false);
}

/** By its own path where that fits into sun_path: it is what ss(8) shows, and what its connections are known by. */
const inReach = (place: Place, name: string): string => {
  const path = join(place.path, name);
  return Buffer.byteLength(path) <= MAX_UNIX_PATH_BYTES ? path : place.at(name);
};

/** bind(2), with its mode and its owner. Throws SystemError, and HupwatchError where the owner cannot be set. */
export function bindBeside(
  fd: number,
  place: Place,
  name: string,
  { mode, owner }: Pick<SocketOptions, "mode" | "owner">,
): void {
  const address = encode({ family: "unix", path: inReach(place, name) });
  bindWithMode(fd, address, mode, isCleaned(place) ? STICKY : 0);
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
function bindWithMode(fd: number, address: Uint8Array, mode: number | undefined, more: number): void {
  fchmodSync(fd, (mode ?? 0o777) | more);
  const umask = mode === undefined ? process.umask() : process.umask(0);
  try {
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
      hint: "only root (CAP_CHOWN) may give a socket away; --socket-owner :GROUP may name one of your own groups",
      cause,
    });
  }
}

/**
 * A server that binds by itself knows nothing of our options. What becomes public has them before it does; what is learned, as soon as it
 * is held.
 */
export function furnish(
  { spec, place, options }: { spec: SocketSpec; place: Place; options: SocketOptions },
  own: string,
): void {
  const { mode, owner, users = [] } = options;
  if (mode === undefined && !owner) {
    keepFromCleaners(place, own);
    return;
  }
  withInode(own, (inode) => {
    const { stat, self } = inode;
    if (
      !stat.isSocket() ||
      (users.length > 0 && ![process.geteuid?.(), owner?.uid, ...users].includes(stat.uid))
    )
      throw new HupwatchError(
        "bind.replaced",
        `cannot give '${spec.text}' its mode and owner: user ${stat.uid} has put something else in the place of the server's socket`,
        { hint: "choose a directory that other users cannot write to" },
      );
    const wanted = (mode ?? stat.mode & 0o777) | (isCleaned(place) ? STICKY : 0);
    asOwner(inode, () => chmodSync(self, wanted));
    if (owner) chownSync(self, owner.uid, owner.gid);
  });
}

/** Of a socket that others have bound, and which may be public: an earlier hupwatch, or the server. */
export function keepFromCleaners(place: Place, own: string): void {
  if (!isCleaned(place)) return;
  const aid = { what: `setting the sticky bit of ${own}`, loss: "systemd-tmpfiles may remove the socket" };
  const set = ({ stat, self }: Inode) => {
    if (stat.isSocket() && (stat.mode & STICKY) === 0) chmodSync(self, (stat.mode & 0o777) | STICKY);
  };
  orWithout(aid, () => withInode(own, set), undefined);
}

/** link(2) gives a name only to what is ours (protected_hardlinks of proc_sys_fs(5)). `from` is not public at that moment. */
export function linkAsOwner(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!isNotPermitted(error)) throw error;
    withInode(from, (inode) => asOwner(inode, () => linkSync(from, to)));
  }
}

/** Where root is not allowed to it is the owner for that instant: CAP_CHOWN is enough. */
function asOwner({ stat, self }: Inode, act: () => void): void {
  try {
    act();
    return;
  } catch (error) {
    const own = process.geteuid?.();
    if (!isNotPermitted(error) || own !== 0 || stat.uid === own || !stat.isSocket()) throw error;
    chownSync(self, own, stat.gid);
  }
  try {
    act();
  } finally {
    chownSync(self, stat.uid, stat.gid);
  }
}

const isNotPermitted = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "EPERM";
