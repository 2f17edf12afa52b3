/**
 * A Unix socket path whose new connections are steered. Each generation's listener is bound to a private name beside
 * the public one, and `rename(2)` puts a hard link of it onto the public path: one atomic step, the path never vanishes.
 *
 * The private name stays as long as its generation: probes go there, and the public path can be put back from it when
 * some process unlinks it at its own exit. Only what carries our inode is ever unlinked.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  type FSWatcher,
  linkSync,
  openSync,
  renameSync,
  watch,
} from "node:fs";
import { dirname } from "node:path";
import { HupwatchError } from "../error.ts";
import { close, isReadable, listen, socket, tryLock } from "../os/libc.ts";
import type { Cutover, HeldSocket, InheritedListener, Listener, SocketOptions } from "./held.ts";
import type { SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import {
  bindBeside,
  checkDirectory,
  connectBeside,
  privateName,
  rejectOccupied,
  removeDeadNames,
  removeStale,
  requirePlace,
  statOrUndefined,
  unlinkIfOurs,
} from "./unix-path.ts";

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
    if (inherited?.privatePath && statOrUndefined(inherited.privatePath)) {
      checkDirectory(spec, dirname(path));
      this.adopted = this.#adopt(inherited.privatePath, inherited);
    } else requirePlace(spec, path);
    removeDeadNames(path, inherited?.privatePath);
  }

  /** Without its descriptor all works but a look into its accept queue. */
  #adopt(privatePath: string, { fd, rivals = [] }: InheritedListener): PrivateListener {
    const listener = this.#listener(fd ?? -1, privatePath);
    // The survivor's own link stands at the public path, or nothing, or one of a generation that was about to replace it.
    this.#replace(listener, rivals);
    this.#current = listener;
    this.#watch(listener);
    return listener;
  }

  listenFor(generation: number): PrivateListener {
    // It may have been moved or removed since the start.
    checkDirectory(this.spec, dirname(this.path));
    const privatePath = privateName(this.path, generation);
    removeStale(privatePath);
    if (this.boundBy === "server") return this.#listener(-1, privatePath);
    const fd = socket("unix", false);
    try {
      bindBeside(fd, privatePath);
      if (this.options.mode !== undefined) chmodSync(privatePath, this.options.mode);
      if (this.options.owner) this.#giveAway(privatePath, this.options.owner);
      listen(fd, this.options.backlog);
    } catch (error) {
      close(fd);
      removeStale(privatePath);
      throw error instanceof HupwatchError ? error : cannotBind(this.spec, error);
    }
    return this.#listener(fd, privatePath);
  }

  #giveAway(privatePath: string, { uid, gid }: NonNullable<SocketOptions["owner"]>): void {
    try {
      chownSync(privatePath, uid, gid);
    } catch (cause) {
      const { code = "?" } = cause as NodeJS.ErrnoException;
      throw new HupwatchError("bind.owner", `cannot change the owner of '${this.spec.text}': ${code}`, {
        hint: "only root (CAP_CHOWN) may give a socket away; --socket-owner :GROUP may name a group of one's own",
        cause,
      });
    }
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

  #replace(listener: PrivateListener, rivals: readonly string[] = []): void {
    const there = statOrUndefined(this.path);
    const isOurs =
      [...this.#live].some((l) => l.inode === there?.ino) ||
      rivals.some((rival) => statOrUndefined(rival)?.ino === there?.ino);
    if (there && !isOurs) rejectOccupied(this.spec, this.path);
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

function lockDirectory(directory: string): Disposable {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  // Held by another starter for the few calls between its check and its link: waiting longer would mean a stranger's.
  const deadline = performance.now() + 1000;
  while (!tryLock(fd) && performance.now() < deadline) Bun.sleepSync(2);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

function cannotBind(spec: SocketSpec, cause: unknown): HupwatchError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new HupwatchError("bind.failed", `cannot bind '${spec.text}': ${why}`, {
    hint: "check the directory's owner, mode and free space",
    cause,
  });
}
