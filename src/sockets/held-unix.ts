/**
 * A Unix socket path whose new connections are steered. Each generation's listener is bound to a private name beside
 * the public one, and `rename(2)` puts a hard link of it onto the public path: one atomic step, the path never vanishes.
 *
 * The private name stays as long as its generation: probes go there, and the public path can be put back from it when
 * some process unlinks it at its own exit. Only what carries our inode is ever unlinked.
 */
import type { Stats } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HupwatchError } from "../error.ts";
import { orWithout } from "../os/aid.ts";
import { close, isReadable, listen, socket } from "../os/libc.ts";
import type { Place } from "../os/place.ts";
import {
  type AdoptedListener,
  type Cutover,
  type HeldSocket,
  type Holder,
  type Listener,
  OF_ALL,
  type PathOwner,
  type SocketOptions,
} from "./held.ts";
import { stillHolds } from "./occupant.ts";
import { OtherNames } from "./other-names.ts";
import { type Look, PathGuard, reasonOf } from "./path-guard.ts";
import { Probe } from "./probe.ts";
import { cannotBind, claim, nameless, replace, restore, type Target } from "./public-path.ts";
import { bindBeside, furnish, keepFromCleaners } from "./rights.ts";
import type { SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";
import {
  connectBeside,
  makeDirectory,
  type Obstacle,
  obstacleAt,
  openDirectory,
  privateName,
  rejectOccupied,
  removeDeadNames,
  removeStale,
  statOrUndefined,
  unlinkIfOurs,
  withNewName,
} from "./unix-path.ts";

type PrivateListener = Listener & {
  readonly generation: number;
  readonly privatePath: string;
  /** The file's; what it was last where its name has gone, and undefined where there was none yet. */
  inodeIn(place: Place): number | undefined;
};

export class HeldUnix implements HeldSocket {
  readonly cutover: Cutover = { mode: "steer" };
  readonly address: SocketAddress;
  /** What the public path leads to; its inode tells our name from that of another process. */
  #current: PrivateListener | undefined;
  readonly #guard: PathGuard;
  #owner: PathOwner | undefined;
  /** As it was when the public path was last ours: it is made anew like that. */
  #directory: Stats | undefined;
  /** Public already, and of no generation yet: the clients that wait in it are for the next generation. */
  #spare: PrivateListener | undefined;
  /** Listeners that have lost all names, and in whose place another one was made public. */
  readonly #renewed = new WeakSet<Listener>();
  readonly #live = new Set<PrivateListener>();
  readonly #otherNames: OtherNames;
  /** For whose sake mounts of the file were looked for last: once a swap. */
  #newest: PrivateListener | undefined;
  readonly #name: string;
  readonly adopted: PrivateListener | undefined;

  /** Checks the place; the path itself is taken by the first `steerTo`. */
  constructor(
    readonly spec: SocketSpec,
    readonly path: string,
    private readonly options: SocketOptions,
    found?: AdoptedListener,
    private readonly boundBy: "hupwatch" | "server" = "hupwatch",
  ) {
    this.address = { family: "unix", path };
    this.#name = basename(path);
    this.#guard = new PathGuard(path, () => this.#putBack());
    this.#otherNames = new OtherNames(path, (by) => this.#owner?.tell({ what: "linked", path, by }));
    using place = this.#open();
    const own = found?.privatePath && basename(found.privatePath);
    if (own && statOrUndefined(place.at(own))) this.adopted = this.#adopt(place, own, found);
    else rejectOccupied(spec, place, path);
    removeDeadNames(place, path, own);
  }

  /** For one step: it may have been moved or removed since the last one. Throws HupwatchError. */
  #open(): Place {
    return openDirectory(this.spec, dirname(this.path), this.options.users);
  }

  /** Without its descriptor all works but a look into its accept queue. */
  #adopt(place: Place, own: string, { fd, otherNames = [] }: AdoptedListener): PrivateListener {
    const holder: Holder = fd === undefined ? { heldBy: "survivor" } : { heldBy: "hupwatch", fd };
    const listener = this.#listener(place, holder, own, OF_ALL);
    // The survivor's own link stands at the public path, or nothing, or one of a generation that was about to replace it.
    this.#replace(place, listener, otherNames);
    keepFromCleaners(place, place.at(own));
    this.#current = listener;
    this.#guard.watch(listener.privatePath);
    return listener;
  }

  /** Gives what was adopted the mode and the owner of our options. Throws HupwatchError. */
  furnish(): void {
    if (this.adopted === undefined) return;
    using place = this.#open();
    const { spec, options } = this;
    furnish({ spec, place, options }, place.at(basename(this.adopted.privatePath)));
  }

  listenFor(generation: number): PrivateListener {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare ?? this.#listen(generation);
  }

  #listen(generation: number): PrivateListener {
    using place = this.#open();
    if (this.boundBy === "server")
      return this.#listener(
        place,
        { heldBy: "server" },
        basename(privateName(this.path, generation)),
        generation,
      );
    const fd = socket("unix");
    let bound: string | undefined;
    try {
      withNewName(this.path, generation, (name) => {
        bindBeside(fd, place, name, this.options);
        bound = name;
      });
      listen(fd, this.options.backlog);
      return this.#listener(place, { heldBy: "hupwatch", fd }, bound ?? "", generation);
    } catch (error) {
      close(fd);
      if (bound !== undefined) removeStale(place.at(bound));
      throw cannotBind(this.spec, error);
    }
  }

  #listener(place: Place, holder: Holder, name: string, generation: number): PrivateListener {
    let inode = statOrUndefined(place.at(name))?.ino;
    const fd = holder.heldBy === "hupwatch" ? holder.fd : undefined;
    // Leads there also when its name has gone: O_PATH.
    const handle = inode === undefined || fd === undefined ? undefined : place.handleOf(name);
    const listener: PrivateListener = {
      ...holder,
      generation,
      privatePath: join(dirname(this.path), name),
      // A server that binds by itself makes it later, and may unlink it at its exit, when our public name still counts.
      inodeIn: (now) => {
        inode = statOrUndefined(now.at(name))?.ino ?? inode;
        return inode;
      },
      proof: true,
      hasQueued: () => fd !== undefined && isReadable(fd),
      connect: () => {
        if (handle !== undefined) return Probe.unix(`/proc/self/fd/${handle}`);
        using now = this.#open();
        return connectBeside(now, name);
      },
      [Symbol.dispose]: () => {
        if (!this.#live.delete(listener)) return;
        const own = {
          what: `removing a name beside ${this.path}`,
          loss: "it stays there until the next start",
        };
        orWithout(own, () => this.#inWhatIsLeft((now) => removeStale(now.at(name))), undefined);
        if (fd !== undefined) close(fd);
        if (handle !== undefined) close(handle);
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
    using place = this.#openOrMake();
    // The very first server that binds by itself has not done so yet: it is made public when it is ready.
    if (this.boundBy === "server" && next.inodeIn(place) === undefined) return;
    if (this.#current && this.#isNameless(place, next)) {
      // Clients wait in the spare one, for the generation that gets it.
      if (this.#spare) return;
      if (this.#renewed.has(next)) throw nameless(this.spec);
    } else if (this.#current) this.#replace(place, next);
    else claim(this.#target(place), next);
    this.#current = next;
    this.#directory = place.stat();
    this.#guard.watch(next.privatePath);
    // What has happened to the path since is not an event of the watch.
    this.#guard.look();
  }

  keep(owner: PathOwner): void {
    this.#owner = owner;
    this.#guard.reportTo(owner.tell);
  }

  look(): void {
    this.#guard.look();
    const newest = [...this.#live].at(-1);
    if (!this.#owner?.renews || newest === this.#current || newest === this.#newest) return;
    this.#newest = newest;
    this.#otherNames.lookAtMounts();
  }

  get trouble(): string | undefined {
    return this.#guard.trouble;
  }

  /** Throws what stands in the way of looking, e.g. that the directory cannot be made. */
  #putBack(): Look {
    const current = this.#current;
    if (!current || !this.#live.has(current)) return { is: "ours" };
    using place = this.#openOrMake();
    const there = statOrUndefined(place.at(this.#name));
    if (there && there.ino === current.inodeIn(place)) {
      // Its own name and the public one.
      if (this.#owner?.renews) this.#otherNames.lookAtLinks(there, 2);
      return { is: "ours" };
    }
    const obstacle = this.#obstacle(place);
    if (obstacle && !this.#isOurs(obstacle)) {
      const { pid, error } = obstacle;
      // What is not a socket is told from itself by its number; of a listener whose process is not known, only a connect tells.
      const isSame = there?.isSocket() ? stillHolds(this.path, pid) : isSameFile(this.path, there);
      return { is: "blocked", by: reasonOf(error), isSame };
    }
    if (this.#isNameless(place, current)) return this.#renew(place, current);
    if (there) replace(this.#target(place), current);
    else if (!restore(this.#target(place), current)) return this.#putBack();
    return obstacle?.pid === undefined ? { is: "restored" } : { is: "taken-back", pid: obstacle.pid };
  }

  /** No path leads to it, and link(2) gives no name to what has none (ENOENT). */
  #isNameless(place: Place, { privatePath }: PrivateListener): boolean {
    return this.boundBy === "hupwatch" && statOrUndefined(place.at(basename(privatePath))) === undefined;
  }

  #renew(place: Place, lost: PrivateListener): Look {
    if (!this.#owner?.renews) throw nameless(this.spec);
    this.#renewed.add(lost);
    this.#spare?.[Symbol.dispose]();
    this.#spare = this.#listen(lost.generation);
    this.#replace(place, this.#spare);
    this.#current = this.#spare;
    this.#guard.watch(this.#spare.privatePath);
    return { is: "renewed" };
  }

  #openOrMake(): Place {
    try {
      return this.#open();
    } catch (error) {
      if (!this.#directory || (error as HupwatchError).code !== "bind.no-directory") throw error;
      makeDirectory(dirname(this.path), this.#directory);
      return this.#open();
    }
  }

  #isOurs = ({ pid }: Obstacle): boolean => pid !== undefined && this.#owner?.owns(pid) === true;

  /** What stands at the public path and is no listener that we know of. */
  #obstacle(place: Place, otherNames: readonly string[] = []): Obstacle | undefined {
    const there = statOrUndefined(place.at(this.#name));
    const isKnown =
      [...this.#live].some((l) => l.inodeIn(place) === there?.ino) ||
      otherNames.some((name) => statOrUndefined(place.at(basename(name)))?.ino === there?.ino);
    return there && !isKnown ? obstacleAt(this.spec, place, this.path) : undefined;
  }

  #replace(place: Place, listener: PrivateListener, otherNames: readonly string[] = []): void {
    const obstacle = this.#obstacle(place, otherNames);
    if (obstacle && !this.#isOurs(obstacle)) throw obstacle.error;
    const there = statOrUndefined(place.at(this.#name));
    if (there && there.ino === listener.inodeIn(place)) return; // rename(2) between two names of one inode would do nothing
    replace(this.#target(place), listener);
  }

  #target = (place: Place): Target => ({
    ...{ place, path: this.path, spec: this.spec, options: this.options },
    isServers: this.boundBy === "server",
  });

  leave(): void {
    this.#guard[Symbol.dispose]();
    for (const listener of this.#live) if (listener.heldBy === "hupwatch") close(listener.fd);
    this.#live.clear();
  }

  [Symbol.dispose](): void {
    this.#guard[Symbol.dispose]();
    const current = this.#current;
    if (current) this.#inWhatIsLeft((place) => unlinkIfOurs(place.at(this.#name), current.inodeIn(place)));
    for (const listener of [...this.#live]) listener[Symbol.dispose]();
  }
}

const isSameFile = (path: string, there: Stats | undefined) => () =>
  statOrUndefined(path)?.ino === there?.ino;
