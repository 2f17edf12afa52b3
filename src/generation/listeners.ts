/**
 * The listeners of one generation: one behind each held socket. If those are shared, an answer there proves nothing, so it has one
 * more that only it has. It owns them until they are released, together with its successors.
 */
import { fstatSync } from "node:fs";
import type { Gen } from "../events/service-event.ts";
import type { Accepting } from "../os/connections.ts";
import { setBlocking } from "../os/libc.ts";
import { tcpQueue } from "../os/netstat.ts";
import { unixQueue } from "../os/socket-table.ts";
import type { InterceptingListener, Interception } from "../os/spawn.ts";
import type { HandoverSocket } from "../sockets/handover.ts";
import type { HeldSocket, Listener } from "../sockets/held.ts";
import { privateListener } from "../sockets/private-listener.ts";
import { bare, encode, format, hostBytes } from "../sockets/sockaddr.ts";
import { PROBE } from "../sockets/spec.ts";
import { removeNames } from "../sockets/unix-path.ts";
import type { RecordedListener } from "./record.ts";

export class Listeners {
  /** A survivor has none for an address that is new. */
  readonly #public = new Map<HeldSocket, Listener>();
  #probe: Listener | undefined;
  #hasSuccessor = false;
  /**
   * Every generation that has these listeners, until its release; the leftover processes of a dead one may outlive its successor.
   * Unproven: a leftover process that cannot be ended may answer in place of any of them.
   */
  #shared = { owners: new Set<Listeners>([this]), isUnproven: false };
  /** What a survivor already had. */
  #recorded: readonly RecordedListener[] | undefined;

  constructor(
    private readonly gen: Gen,
    private readonly held: readonly HeldSocket[],
  ) {}

  /** `probePath`: where one more is bound, of this generation alone. Throws HupwatchError and SystemError. */
  open({ probePath, nonblocking }: { probePath: string | undefined; nonblocking: boolean }): void {
    for (const socket of this.held) this.#public.set(socket, socket.listenFor(this.gen));
    if (nonblocking) for (const fd of ownDescriptors(this.#public.values())) setBlocking(fd, "nonblocking");
    if (probePath !== undefined) this.#probe = privateListener(probePath);
  }

  /** Those of a dead generation, open as they are. Throws HupwatchError. */
  succeed(predecessor: Listeners): void {
    for (const socket of this.held) {
      // A survivor's listener of which the kernel allowed no duplicate is gone, and a new address had none.
      const listener = predecessor.of(socket);
      this.#public.set(
        socket,
        listener === undefined || listener.heldBy === "survivor" ? socket.listenFor(this.gen) : listener,
      );
    }
    this.#probe = predecessor.#probe;
    predecessor.#hasSuccessor = true;
    this.#shared = predecessor.#shared;
    this.#shared.owners.add(this);
  }

  /** Those of a survivor, which the held sockets have taken over. */
  adopt(recorded: readonly RecordedListener[]): void {
    this.#recorded = recorded;
    for (const socket of this.held) if (socket.adopted) this.#public.set(socket, socket.adopted);
  }

  /** A successor has them, or will have: nothing else is to touch them. */
  get hasSuccessor(): boolean {
    return this.#hasSuccessor;
  }

  /** A leftover process that has them does not end: any answer there may come from it, now and for every successor. */
  markUnproven(): void {
    this.#shared.isUnproven = true;
  }

  /** Only this generation can answer where the checks connect. */
  get proof(): boolean {
    return !this.#shared.isUnproven && this.probed.every((l) => l.proof);
  }

  /** Learned: the generation made it, and the held socket has taken it over. */
  learn(socket: HeldSocket): void {
    if (socket.adopted) this.#public.set(socket, socket.adopted);
  }

  /** Gives back the listeners at which it does not listen; the generations that do keep them. Returns their sockets' numbers in /proc. */
  keepOnly(isWanted: (socket: HeldSocket) => boolean): number[] {
    const dropped = [...this.#public].filter(([socket]) => !isWanted(socket));
    return dropped.flatMap(([socket, listener]) => {
      const own = ownDescriptors([listener]).map((fd) => fstatSync(fd).ino);
      this.#public.delete(socket);
      listener[Symbol.dispose]();
      return [...own, ...numbersOf(socket)];
    });
  }

  of(socket: HeldSocket): Listener | undefined {
    return this.#public.get(socket);
  }

  [Symbol.iterator](): MapIterator<[HeldSocket, Listener]> {
    return this.#public.entries();
  }

  /** Where the checks connect: the generation's own one where there is one. */
  get probed(): Listener[] {
    return this.#probe ? [this.#probe] : [...this.#public.values()];
  }

  /** For shell lines of the user: where only this generation answers. */
  get way(): Record<string, string> {
    const socket = this.probed[0]?.privatePath;
    const ports = this.held.find(({ probePorts }) => probePorts !== undefined)?.probePorts;
    return {
      ...(socket === undefined ? {} : { HUPWATCH_SOCKET: socket }),
      ...(ports === undefined ? {} : { HUPWATCH_PROBE_PORTS: ports }),
    };
  }

  get #all(): Listener[] {
    return [...this.#public.values(), ...(this.#probe ? [this.#probe] : [])];
  }

  /** Descriptors of the listeners that clients reach; a path that the server binds itself has none here. */
  get inodes(): number[] {
    return ownDescriptors(this.#public.values()).map((fd) => fstatSync(fd).ino);
  }

  /** One more, for an address that was unknown at its start. Throws HupwatchError and SystemError. */
  offer(socket: HeldSocket): Interception {
    const listener = socket.listenFor(this.gen);
    this.#public.set(socket, listener);
    const listeners = intercepting([[socket, listener]]);
    return { generation: this.gen, listeners, kept: socket.groupDescriptors?.() ?? [] };
  }

  /** How they take the place of what the generation binds by itself. */
  get interception(): Interception {
    return { generation: this.gen, listeners: intercepting(this.#public), kept: this.groupDescriptors };
  }

  /** As `--bind` has them. */
  get addresses(): string[] {
    return [...this.#public.keys()].map(({ address }) => format(address));
  }

  /** Of those that have a name beside a public path. */
  get privatePaths(): string[] {
    return this.#all.flatMap(({ privatePath }) => privatePath ?? []);
  }

  /** In the order in which they are handed over; none of what the server binds by itself. */
  get descriptors(): number[] {
    return ownDescriptors(this.#all);
  }

  /** As the command line and the environment name them, in the same order. */
  get sockets(): HandoverSocket[] {
    const sockets = this.held.map((socket) => ({
      name: socket.spec.name,
      socket: this.of(socket)?.privatePath ?? bare(socket.address),
    }));
    return this.#probe ? [...sockets, { name: PROBE.name, socket: this.#probe.privatePath ?? "" }] : sockets;
  }

  /** Of whole SO_REUSEPORT groups: no listener may leave its group before this generation does. */
  get groupDescriptors(): number[] {
    return this.held.flatMap((socket) => socket.groupDescriptors?.() ?? []);
  }

  get groupInodes(): number[] {
    return this.held.flatMap(numbersOf);
  }

  /** Where its clients come in. */
  get places(): Accepting[] {
    return this.held.map((socket): Accepting => {
      const { address } = socket;
      const path = this.of(socket)?.privatePath;
      if (path !== undefined) return { path };
      if (address.family === "unix") return { path: address.path };
      if (address.family === "abstract") return { path: `@${address.name}` };
      return { hostBytes: hostBytes(address), port: address.port };
    });
  }

  /** The same, with the path by which whichever generation serves is reached; of TCP undefined. */
  get ways(): { place: Accepting; path: string | undefined }[] {
    const { places } = this;
    return this.held.flatMap(({ address }, i) => {
      const place = places[i];
      return place ? [{ place, path: "port" in address ? undefined : bare(address) }] : [];
    });
  }

  /** Clients wait that have not been accepted yet. */
  hasQueued(): boolean {
    return [...this.#public.values()].some((listener) => listener.hasQueued());
  }

  /** How many clients wait in each; those that the kernel does not tell of are left out. */
  queues(): { address: string; queued: number }[] {
    return [...this.#public].flatMap(([{ address }, { fd }]) => {
      if (fd === undefined) return [];
      const { ino } = fstatSync(fd);
      const isTcp = address.family === "inet" || address.family === "inet6";
      const queued = isTcp ? tcpQueue(ino) : unixQueue(ino);
      return queued === undefined ? [] : [{ address: format(address), queued }];
    });
  }

  /** What a later hupwatch has to know of them. */
  record(): RecordedListener[] {
    return this.#recorded ? this.#recordAgain(this.#recorded) : this.#recordOwn();
  }

  #recordOwn(): RecordedListener[] {
    return [...this.#public].map(([socket, listener]) => {
      const [inode] = ownDescriptors([listener]).map((fd) => fstatSync(fd).ino);
      const { privatePath } = listener;
      return { address: format(socket.address), inode, group: socket.group?.(), privatePath };
    });
  }

  /** What it came with, in groups that have grown since. */
  #recordAgain(recorded: readonly RecordedListener[]): RecordedListener[] {
    return recorded.map((listener) => {
      const socket = this.#heldAt(listener.address);
      return socket ? { ...listener, group: socket.group?.() } : listener;
    });
  }

  #heldAt(address: string): HeldSocket | undefined {
    return this.held.find((socket) => format(socket.address) === address);
  }

  /** To be called only when no client waits in them. */
  release(): void {
    const { owners } = this.#shared;
    owners.delete(this);
    const inUse = new Set([...owners].flatMap((owner) => owner.#all));
    for (const listener of this.#all) if (!inUse.has(listener)) listener[Symbol.dispose]();
    this.#public.clear();
    // No socket is held for addresses that have left the command line since it was started.
    for (const { address, privatePath } of this.#recorded ?? [])
      if (privatePath && !this.#heldAt(address)) removeNames(address, privatePath);
  }
}

const ownDescriptors = (listeners: Iterable<Listener>): number[] =>
  [...listeners].flatMap((listener) => (listener.heldBy === "hupwatch" ? listener.fd : []));

const intercepting = (listeners: Iterable<[HeldSocket, Listener]>): InterceptingListener[] =>
  [...listeners].flatMap(([{ address, spec }, listener]) =>
    ownDescriptors([listener]).map((fd) => ({
      fd,
      sockaddr: encode(address),
      alsoAt: spec.address.kind === "unix" ? [spec.address.path] : [],
      privatePath: listener.privatePath,
    })),
  );

/** Of the members of its group that are in use. */
const numbersOf = (socket: HeldSocket): number[] =>
  (socket.group?.() ?? []).filter((member) => member !== "idle");
