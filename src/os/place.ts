/**
 * A directory that is held open while something is done in it. If another user may write to a directory on the way, the target of a path
 * can change between a check and the next call. Whatever happens to the path, an action `at` a name of a place happens in that
 * one directory (/proc/self/fd, proc(5)).
 *
 * On the way a symlink is followed, in every directory, as the kernel's protected_symlinks would (proc_sys_fs(5)): its owner is root,
 * ourselves, or the owner of its directory. And root follows another user's link only to a directory of that user. Otherwise a user that may
 * write here would choose where root writes.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { resolve } from "node:path";
import { HupwatchError } from "../error.ts";

/** open(2); Linux has one number for all machines that hupwatch runs on, and node:fs none. */
const O_PATH = 0o10000000;
const ENTRY = O_PATH | constants.O_NOFOLLOW;
/** As the kernel has it (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * Spare descriptors that are closed for a walk where no other one is left: such a process must still put a public path back, and remove its
 * own files. There are enough for a walk in one place while another place and a file are open.
 */
const SPARES = 5;
const spares: number[] = [];
fillSpares();

function fillSpares(): void {
  try {
    while (spares.length < SPARES) spares.push(openSync("/", O_PATH));
  } catch {
    // The next place's end tries again.
  }
}

/** openSync, with the spare descriptors where there are no others. */
function openWithSpares(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    const isLacking = ["EMFILE", "ENFILE"].includes((error as NodeJS.ErrnoException).code ?? "");
    if (!isLacking || spares.length === 0) throw error;
    for (const fd of spares.splice(0)) closeSync(fd);
    return openSync(path, flags);
  }
}

export class Place implements Disposable {
  readonly #fd: number;

  private constructor(
    fd: number,
    readonly path: string,
  ) {
    this.#fd = fd;
  }

  /**
   * `users`: whose directories another user's symlink may lead root to, besides its own: the command's user. Throws HupwatchError of a
   * symlink that is not to be followed, and what open(2) gives.
   */
  static open(path: string, users: readonly number[] = []): Place {
    const { fd, authors } = walk(resolve(path));
    const place = new Place(fd, path);
    try {
      requireNoBetter(path, authors, place.stat(), users);
      return place;
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  /** The same of a file, which is the directory's that it is found in. */
  static requireFile(path: string, users: readonly number[] = []): void {
    const { fd, authors, directory } = walk(resolve(path));
    closeSync(fd);
    requireNoBetter(path, authors, directory, users);
  }

  /** Leads to that name in this very directory; good as long as the place is open, and for this process alone. */
  at(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }

  /** The directory of that name in it, and never what a symlink leads to. Throws what open(2) gives: ENOTDIR of anything else. */
  enter(name: string): Place {
    const fd = openSync(this.at(name), ENTRY | constants.O_DIRECTORY);
    return new Place(fd, `${this.path}/${name}`);
  }

  /**
   * A descriptor that leads to what has that name now, also when it has none any more (/proc/self/fd, proc(5)); the caller's to close.
   * Undefined where none is to be had.
   */
  handleOf(name: string): number | undefined {
    try {
      return openSync(this.at(name), ENTRY);
    } catch {
      return undefined;
    }
  }

  stat(): Stats {
    return fstatSync(this.#fd);
  }

  /** Only its owner, and that is ourselves, may do anything in it. */
  isOursAlone(): boolean {
    const { uid, mode } = this.stat();
    return uid === process.getuid?.() && (mode & 0o077) === 0;
  }

  /** Every user may make something in it, as in /tmp. */
  isOpenToAll(): boolean {
    return (this.stat().mode & 0o002) !== 0;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    fillSpares();
  }
}

/** What stands at a path, and not what a symlink there leads to. */
export interface Inode {
  stat: Stats;
  /** Leads to it whatever becomes of its name: for chmod(2) and chown(2), which know no better way to what is not opened. */
  self: string;
}

/** Throws what open(2) gives, e.g. ENOENT. */
export function withInode<T>(path: string, use: (inode: Inode) => T): T {
  const fd = openSync(path, ENTRY);
  try {
    return use({ stat: fstatSync(fd), self: `/proc/self/fd/${fd}` });
  } finally {
    closeSync(fd);
  }
}

export interface FoundFile {
  stat: Stats;
  /** Leads to that very file, for reading. */
  self: string;
  /** Another user than root and ourselves could choose which file this is: by a symlink, or by a hard link in a directory of its. */
  isChosenByOthers: boolean;
}

/** Throws HupwatchError of a symlink that is not to be followed, and what open(2) gives. */
export function withFile<T>(path: string, use: (file: FoundFile) => T): T {
  const { fd, authors, directory } = walk(resolve(path));
  try {
    const stat = fstatSync(fd);
    const isLinked = stat.nlink > 1 && !isTrusted(directory.uid);
    return use({ stat, self: `/proc/self/fd/${fd}`, isChosenByOthers: authors.length > 0 || isLinked });
  } finally {
    closeSync(fd);
    fillSpares();
  }
}

/**
 * The text of a small file; undefined where there is none. Never through a symlink, and a FIFO does not block. Throws where it is not a
 * file or has more than so many bytes.
 */
export function readSmall(path: string, bytesMax: number): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw code === "ELOOP" ? new Error("it is a symlink") : error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("it is not a file");
    if (stat.size > bytesMax) throw new Error(`it has ${stat.size} bytes`);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

/** What it leads to, the directory that this is in, and which users other than root and ourselves have had a say in that. */
function walk(path: string): { fd: number; authors: number[]; directory: Stats } {
  const left = path.split("/");
  const authors: number[] = [];
  let links = 0;
  let fd = openWithSpares("/", O_PATH);
  let directory = fstatSync(fd);
  try {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      if (name === "") continue;
      const next = openWithSpares(`/proc/self/fd/${fd}/${name}`, ENTRY);
      const stat = fstatSync(next);
      directory = fstatSync(fd);
      if (!stat.isSymbolicLink()) {
        closeSync(fd);
        fd = next;
        continue;
      }
      closeSync(next);
      if (++links > MAX_LINKS) throw Object.assign(new Error(`ELOOP: ${path}`), { code: "ELOOP" });
      const author = authorOf(path, name, stat, directory);
      if (author !== undefined) authors.push(author);
      const target = readlinkSync(`/proc/self/fd/${fd}/${name}`);
      left.unshift(...target.split("/"));
      if (!target.startsWith("/")) continue;
      closeSync(fd);
      fd = openWithSpares("/", O_PATH);
    }
    return { fd, authors, directory };
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    fillSpares();
  }
}

const isTrusted = (uid: number): boolean => uid === 0 || uid === process.getuid?.();

/** Undefined: only root and ourselves could have made it. Its directory's owner could, also where the link is another user's. */
function authorOf(path: string, name: string, link: Stats, directory: Stats): number | undefined {
  if (!isTrusted(link.uid) && link.uid !== directory.uid)
    throw new HupwatchError(
      "path.symlink",
      `the symlink ${name} in ${path} belongs to user ${link.uid}, its directory to user ${directory.uid}: it is not followed`,
      { hint: "remove it, or choose a directory that other users cannot write to" },
    );
  return isTrusted(directory.uid) ? [link.uid].find((uid) => !isTrusted(uid)) : directory.uid;
}

function requireNoBetter(
  path: string,
  authors: readonly number[],
  { uid }: Stats,
  users: readonly number[],
): void {
  const [author] = authors;
  if (process.getuid?.() !== 0 || author === undefined) return;
  if (authors.every((one) => one === uid) || users.includes(uid)) return;
  throw new HupwatchError(
    "path.symlink",
    `a symlink of user ${author} in ${path} leads to a directory of user ${uid}: root does not follow it`,
    { hint: "name the directory to which it leads, or give both to one owner" },
  );
}
