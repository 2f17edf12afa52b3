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
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { lacks, orWithout } from "../os/aid.ts";
import { close, isReadable, listen, socket, tryLock } from "../os/libc.ts";
import { type Place, withInode } from "../os/place.ts";
import type { Cutover, HeldSocket, InheritedListener, Listener, SocketOptions } from "./held.ts";
import type { SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import {
  bindBeside,
  connectBeside,
  openDirectory,
  privateName,
  rejectOccupied,
  removeDeadNames,
  removeStale,
  statOrUndefined,
  unlinkIfOurs,
  withNewName,
} from "./unix-path.ts";

interface PrivateListener extends Listener {
  readonly generation: number;
  readonly privatePath: string;
  /** The file's; what it was last where its name has gone, and 0 where there was none yet. */
  inodeIn(place: Place): number;
}

export class HeldUnix implements HeldSocket {
  readonly cutover: Cutover = { mode: "steer" };
  readonly address: SocketAddress;
  /** What the public path leads to; its inode tells our name from that of another process. */
  #current: PrivateListener | undefined;
  #watcher: FSWatcher | undefined;
  readonly #live = new Set<PrivateListener>();
  readonly #name: string;
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
    this.#name = basename(path);
    using place = this.#open();
    const own = inherited?.privatePath && basename(inherited.privatePath);
    if (own && statOrUndefined(place.at(own))) this.adopted = this.#adopt(place, own, inherited);
    else rejectOccupied(spec, place, path);
    removeDeadNames(place, path, own);
  }

  /** For one step: it may have been moved or removed since the last one. Throws HupwatchError. */
  #open(): Place {
    return openDirectory(this.spec, dirname(this.path), this.options.users);
  }

  /** Without its descriptor all works but a look into its accept queue. */
  #adopt(place: Place, own: string, { fd, otherNames = [] }: InheritedListener): PrivateListener {
    const listener = this.#listener(place, fd ?? -1, own, 0);
    // The survivor's own link stands at the public path, or nothing, or one of a generation that was about to replace it.
    this.#replace(place, listener, otherNames);
    this.#current = listener;
    this.#watch(listener);
    return listener;
  }

  listenFor(generation: number): PrivateListener {
    using place = this.#open();
    if (this.boundBy === "server")
      return this.#listener(place, -1, basename(privateName(this.path, generation)), generation);
    const fd = socket("unix", false);
    let bound: string | undefined;
    try {
      withNewName(this.path, generation, (name) => {
        bindBeside(fd, place, name, this.options);
        bound = name;
      });
      listen(fd, this.options.backlog);
      return this.#listener(place, fd, bound ?? "", generation);
    } catch (error) {
      close(fd);
      if (bound !== undefined) removeStale(place.at(bound));
      throw cannotBind(this.spec, error);
    }
  }

  #listener(place: Place, fd: number, name: string, generation: number): PrivateListener {
    let inode = statOrUndefined(place.at(name))?.ino ?? 0;
    const listener: PrivateListener = {
      fd,
      generation,
      privatePath: join(dirname(this.path), name),
      // A server that binds by itself makes it later, and may unlink it at its exit, when our public name still counts.
      inodeIn: (now) => {
        inode = statOrUndefined(now.at(name))?.ino ?? inode;
        return inode;
      },
      proof: true,
      hasQueued: () => fd >= 0 && isReadable(fd),
      connect: () => {
        using now = this.#open();
        return connectBeside(now, name);
      },
      [Symbol.dispose]: () => {
        if (!this.#live.delete(listener)) return;
        this.#inWhatIsLeft((now) => removeStale(now.at(name)));
        if (fd >= 0) close(fd);
      },
    };
    this.#live.add(listener);
    return listener;
  }

  /** At an end nothing is left to do in a directory that has gone, or is not ours any more. */
  #inWhatIsLeft(remove: (place: Place) => void): void {
    let place: Place;
    try {
      place = this.#open();
    } catch (error) {
      if (error instanceof HupwatchError) return;
      throw error;
    }
    using _place = place;
    remove(place);
  }

  steerTo(listener: Listener): void {
    const next = [...this.#live].find((l) => l === listener);
    if (!next) throw new RangeError(`not a listener of ${this.path}`);
    using place = this.#open();
    // The very first server that binds by itself has not done so yet: it is made public when it is ready.
    if (this.boundBy === "server" && next.inodeIn(place) === 0) return;
    if (this.#current) this.#replace(place, next);
    else this.#claim(place, next);
    this.#current = next;
    this.#watch(next);
  }

  /** The first time: link(2) fails where something stands at the path, so two starters cannot both have it. */
  #claim(place: Place, listener: PrivateListener): void {
    using _lock = lock(place);
    rejectOccupied(this.spec, place, this.path);
    removeStale(place.at(this.#name));
    const own = place.at(basename(listener.privatePath));
    this.#furnish(own);
    try {
      linkSync(own, place.at(this.#name));
    } catch (error) {
      throw cannotBind(this.spec, error);
    }
  }

  #replace(place: Place, listener: PrivateListener, otherNames: readonly string[] = []): void {
    const there = statOrUndefined(place.at(this.#name));
    const isOurs =
      [...this.#live].some((l) => l.inodeIn(place) === there?.ino) ||
      otherNames.some((name) => statOrUndefined(place.at(basename(name)))?.ino === there?.ino);
    if (there && !isOurs) rejectOccupied(this.spec, place, this.path);
    if (there?.ino === listener.inodeIn(place)) return; // rename(2) between two names of one inode would do nothing
    const own = place.at(basename(listener.privatePath));
    this.#furnish(own);
    try {
      withNewName(this.path, listener.generation, (name) => {
        const link = place.at(`${name}~`);
        linkSync(own, link);
        renameSync(link, place.at(this.#name));
      });
    } catch (error) {
      throw cannotBind(this.spec, error);
    }
  }

  /** A server that binds by itself knows nothing of our options: what becomes public has them before it does. */
  #furnish(own: string): void {
    const { mode, owner, users = [] } = this.options;
    if (this.boundBy !== "server" || (mode === undefined && !owner)) return;
    withInode(own, ({ stat, self }) => {
      if (
        !stat.isSocket() ||
        (users.length > 0 && ![process.geteuid?.(), owner?.uid, ...users].includes(stat.uid))
      )
        throw new HupwatchError(
          "bind.replaced",
          `cannot give '${this.spec.text}' its mode and owner: what user ${stat.uid} has put there is not the server's socket`,
          { hint: "choose a directory that other users cannot write to" },
        );
      if (mode !== undefined) chmodSync(self, mode);
      if (owner) chownSync(self, owner.uid, owner.gid);
    });
  }

  /**
   * inotify on the inode itself (not its busy directory) wakes us when one of its names goes. A path that vanished is
   * put back; one where another live listener stands is left alone, and the next swap reports it.
   */
  #watch(listener: PrivateListener): void {
    this.#watcher?.close();
    const aid = {
      what: `a watch on ${this.path}`,
      loss: "if something unlinks it, only the next swap puts it back",
    };
    const begin = () => {
      const watcher = watch(listener.privatePath, { persistent: false }, () => this.#look(listener));
      return watcher.on("error", (error) => lacks(aid, error));
    };
    this.#watcher = orWithout(aid, begin, undefined);
  }

  #look(listener: PrivateListener): void {
    if (this.#current !== listener) return;
    try {
      using place = this.#open();
      if (statOrUndefined(place.at(this.#name))?.ino === listener.inodeIn(place)) return;
      this.#replace(place, listener);
      this.onRestored(this.path);
    } catch {
      // Another process's live listener: steerTo says so at the next swap.
    }
  }

  leave(): void {
    this.#watcher?.close();
    for (const { fd } of this.#live) if (fd >= 0) close(fd);
    this.#live.clear();
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    const current = this.#current;
    if (current) this.#inWhatIsLeft((place) => unlinkIfOurs(place.at(this.#name), current.inodeIn(place)));
    for (const listener of [...this.#live]) listener[Symbol.dispose]();
  }
}

function lock(place: Place): Disposable {
  const fd = openSync(place.at("."), constants.O_RDONLY | constants.O_DIRECTORY);
  // Held by another starter for the few calls between its check and its link: waiting longer would mean a stranger's.
  const deadline = performance.now() + 1000;
  while (!tryLock(fd) && performance.now() < deadline) Bun.sleepSync(2);
  return { [Symbol.dispose]: () => closeSync(fd) };
}

function cannotBind(spec: SocketSpec, cause: unknown): HupwatchError {
  if (cause instanceof HupwatchError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new HupwatchError("bind.failed", `cannot bind '${spec.text}': ${why}`, {
    hint: "check the directory's owner, mode and free space",
    cause,
  });
}
