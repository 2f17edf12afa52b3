/**
 * A Unix socket path whose new connections are steered. Each generation's listener is bound to a private name beside
 * the public one, and `rename(2)` puts a hard link of it onto the public path: one atomic step, the path never vanishes.
 *
 * The private name stays as long as its generation: probes go there, and the public path can be put back from it when
 * some process unlinks it at its own exit. Only what carries our inode is ever unlinked.
 */
import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  type FSWatcher,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  type Stats,
  unlinkSync,
  watch,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { bind, close, isReadable, listen, SystemError, socket, tryLock } from "../os/libc.ts";
import type { Cutover, HeldSocket, InheritedListener, Listener, SocketOptions } from "./held.ts";
import { Probe } from "./probe.ts";
import { encode, MAX_UNIX_PATH_BYTES, type SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

interface PrivateListener extends Listener {
  readonly privatePath: string;
  readonly inode: number;
}

export class HeldUnix implements HeldSocket {
  readonly cutover: Cutover = { mode: "steer" };
  readonly address: SocketAddress;
  /** What the public path leads to; its inode tells our name from anybody else's. */
  #current: PrivateListener | undefined;
  #watcher: FSWatcher | undefined;
  readonly #live = new Set<PrivateListener>();
  readonly adopted: PrivateListener | undefined;

  /** Checks the place; the path itself is taken by the first `steerTo`. `onRestored` hears when it had to be put back. */
  constructor(
    readonly spec: SocketSpec,
    readonly path: string,
    private readonly options: SocketOptions,
    private readonly onRestored: (path: string) => void = () => {},
    inherited?: InheritedListener,
    private readonly boundBy: "hupwatch" | "server" = "hupwatch",
  ) {
    this.address = { family: "unix", path };
    checkDirectory(spec, dirname(path));
    if (inherited?.privatePath && statOrUndefined(inherited.privatePath)) {
      this.adopted = this.#adopt(inherited.privatePath, inherited.fd);
      this.steerTo(this.adopted);
    } else rejectOccupied(spec, path);
    removeDeadNames(path, inherited?.privatePath);
  }

  /** Without its descriptor all works but a look into its accept queue. */
  #adopt(privatePath: string, fd: number | undefined): PrivateListener {
    const listener = this.#listener(fd ?? -1, privatePath);
    // Whatever stands at the public path is replaced: the survivor's own link, or nothing.
    this.#current = listener;
    return listener;
  }

  listenFor(generation: number): PrivateListener {
    const privatePath = privateName(this.path, generation);
    removeStale(privatePath);
    if (this.boundBy === "server") return this.#listener(-1, privatePath);
    const fd = socket("unix", false);
    try {
      bindBeside(fd, privatePath);
      if (this.options.mode !== undefined) chmodSync(privatePath, this.options.mode);
      if (this.options.owner) chownSync(privatePath, this.options.owner.uid, this.options.owner.gid);
      listen(fd, this.options.backlog);
    } catch (error) {
      close(fd);
      throw cannotBind(this.spec, error);
    }
    return this.#listener(fd, privatePath);
  }

  #listener(fd: number, privatePath: string): PrivateListener {
    let inode = statOrUndefined(privatePath)?.ino ?? 0;
    const listener: PrivateListener = {
      fd,
      privatePath,
      // A server that binds by itself makes it later, and may unlink it at its exit, when our public name still counts.
      get inode() {
        inode = statOrUndefined(privatePath)?.ino ?? inode;
        return inode;
      },
      proof: true,
      hasQueued: () => fd >= 0 && isReadable(fd),
      connect: () => connectBeside(privatePath),
      [Symbol.dispose]: () => {
        if (!this.#live.delete(listener)) return;
        removeStale(privatePath);
        if (fd >= 0) close(fd);
      },
    };
    this.#live.add(listener);
    return listener;
  }

  steerTo(listener: Listener): void {
    const next = [...this.#live].find((l) => l === listener);
    if (!next) throw new RangeError(`not a listener of ${this.path}`);
    // The very first server that binds by itself has not done so yet: it is made public when it is ready.
    if (this.boundBy === "server" && next.inode === 0) return;
    if (this.#current) this.#replace(next);
    else this.#claim(next);
    this.#current = next;
    this.#watch(next);
  }

  /** The first time: link(2) fails where something stands at the path, so two starters cannot both have it. */
  #claim(listener: PrivateListener): void {
    using _lock = lockDirectory(dirname(this.path));
    rejectOccupied(this.spec, this.path);
    removeStale(this.path);
    try {
      linkSync(listener.privatePath, this.path);
    } catch (error) {
      throw cannotBind(this.spec, error);
    }
  }

  #replace(listener: PrivateListener): void {
    const there = statOrUndefined(this.path);
    if (there && ![...this.#live].some((l) => l.inode === there.ino)) rejectOccupied(this.spec, this.path);
    if (there?.ino === listener.inode) return; // rename(2) between two names of one inode would do nothing
    const link = `${listener.privatePath}~`;
    removeStale(link);
    linkSync(listener.privatePath, link);
    renameSync(link, this.path);
  }

  /**
   * inotify on the inode itself (not its busy directory) wakes us when one of its names goes. A path that vanished is
   * put back; one where another live listener stands is left alone, and the next swap reports it.
   */
  #watch(listener: PrivateListener): void {
    this.#watcher?.close();
    this.#watcher = watch(listener.privatePath, { persistent: false }, () => {
      if (this.#current !== listener || statOrUndefined(this.path)?.ino === listener.inode) return;
      try {
        this.#replace(listener);
        this.onRestored(this.path);
      } catch {
        // Somebody else's live listener: steerTo says so at the next swap.
      }
    });
  }

  leave(): void {
    this.#watcher?.close();
    for (const { fd } of this.#live) if (fd >= 0) close(fd);
    this.#live.clear();
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    if (this.#current) unlinkIfOurs(this.path, this.#current.inode);
    for (const listener of [...this.#live]) listener[Symbol.dispose]();
  }
}

/** Follows a symlink at the path itself, so that it goes on pointing at the socket; directories stay as written. */
export function throughLink(path: string): string {
  try {
    return lstatSync(path).isSymbolicLink() ? realpathSync(path) : path;
  } catch {
    return path;
  }
}

/** Hidden, in the same directory (rename must not cross file systems), and ours by our pid. */
export function privateName(
  path: string,
  generation: number,
  owner: string = process.pid.toString(36),
): string {
  const [long, short] = privatePrefixes(path).map((prefix) => `${prefix}${owner}-${generation}`) as [
    string,
    string,
  ];
  // One byte is kept for the `~` of the link that rename moves.
  return Buffer.byteLength(long) < MAX_UNIX_PATH_BYTES ? long : short;
}

/** Several sockets of one directory need a name each, also where there is no room for their own. */
const privatePrefixes = (path: string): [long: string, short: string] => [
  join(dirname(path), `.${basename(path)}.hupwatch-`),
  join(dirname(path), `.hw${Bun.hash.crc32(basename(path)).toString(36)}-`),
];

/** What a hupwatch has left that was killed between two calls: links about to be renamed, names nobody listens behind. */
function removeDeadNames(path: string, inUse: string | undefined): void {
  const prefixes = privatePrefixes(path);
  for (const entry of readdirSync(dirname(path))) {
    const name = join(dirname(path), entry);
    if (name === inUse || !prefixes.some((prefix) => name.startsWith(prefix))) continue;
    if (name.endsWith("~") || !liveListener(name)) removeStale(name);
  }
}

/** A directory too deep for sun_path is reached through its descriptor (/proc/self/fd, proc(5)). */
function viaShortPath<T>(path: string, use: (path: string) => T): T {
  if (Buffer.byteLength(path) <= MAX_UNIX_PATH_BYTES) return use(path);
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return use(`/proc/self/fd/${directory}/${basename(path)}`);
  } finally {
    closeSync(directory);
  }
}

const bindBeside = (fd: number, path: string) =>
  viaShortPath(path, (short) => bind(fd, encode({ family: "unix", path: short })));

const connectBeside = (path: string) => viaShortPath(path, (short) => Probe.unix(short));

function checkDirectory(spec: SocketSpec, directory: string): void {
  try {
    if (!statOrUndefined(`${directory}/.`))
      throw new HupwatchError("bind.no-directory", `cannot bind '${spec.text}': no directory ${directory}`, {
        hint: `mkdir -p ${directory}`,
      });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if (cause instanceof HupwatchError) throw cause;
    throw new HupwatchError("bind.forbidden", `cannot bind '${spec.text}': ${directory} is not writable`, {
      hint: `let user ${process.getuid?.()} write to ${directory}, or choose another directory`,
      cause,
    });
  }
}

/** Throws where the path is no socket, or a live one of somebody else. Finding out costs one connect. */
function rejectOccupied(spec: SocketSpec, path: string): void {
  const stat = statOrUndefined(path);
  if (!stat) return;
  if (!stat.isSocket())
    throw new HupwatchError(
      "bind.not-a-socket",
      `cannot bind '${spec.text}': ${path} exists and is no socket`,
      {
        hint: "remove it or choose another path",
      },
    );
  const owner = liveListener(path);
  if (owner)
    throw new HupwatchError("bind.in-use", `cannot bind '${spec.text}': ${owner} listens on it`, {
      hint: "end that process or choose another path; hupwatch never takes a live socket away from anybody",
    });
}

/** "process 4711" where somebody listens, undefined where the socket is a dead leftover. */
function liveListener(path: string): string | undefined {
  try {
    using probe = connectBeside(path);
    return `process ${probe.peerPid()}`;
  } catch (error) {
    const dead = error instanceof SystemError && (error.errno === "ECONNREFUSED" || error.errno === "ENOENT");
    return dead ? undefined : "a process";
  }
}

function lockDirectory(directory: string): Disposable {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  // Held by another starter for the few calls between its check and its link: waiting longer would mean a stranger's.
  const deadline = performance.now() + 1000;
  while (!tryLock(fd) && performance.now() < deadline) Bun.sleepSync(2);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

function removeStale(path: string): void {
  if (statOrUndefined(path)?.isSocket()) unlinkSync(path);
}

function unlinkIfOurs(path: string, inode: number): void {
  if (statOrUndefined(path)?.ino === inode) unlinkSync(path);
}

function statOrUndefined(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENOTDIR: a file stands where a directory should be.
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

function cannotBind(spec: SocketSpec, cause: unknown): HupwatchError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new HupwatchError("bind.failed", `cannot bind '${spec.text}': ${why}`, {
    hint: "check the directory's owner, mode and free space",
    cause,
  });
}
