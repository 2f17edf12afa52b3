/**
 * hupwatch's end of its keeper: starts it, has commands started by it, and hears what it sees. One keeper for one hupwatch; where
 * an earlier hupwatch of the same name has left one, that one goes on.
 */

import { fstatSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { realClock } from "../os/clock.ts";
import { watchForeign } from "../os/foreign.ts";
import { close, connect, dup, getsockname, isIPv6Only, SystemError } from "../os/libc.ts";
import { anonymousFile, packetSocket, socketPair, writeAll } from "../os/libc-intercept.ts";
import { locate, requireRunnable } from "../os/lookup.ts";
import type { Os } from "../os/os.ts";
import { type Identity, isSame, processOf } from "../os/procfs.ts";
import { sendSignal } from "../os/send-signal.ts";
import { serverBelow } from "../os/server-process.ts";
import {
  type Child,
  cannotStart,
  type ExitStatus,
  type Interception,
  type SpawnRequest,
} from "../os/spawn.ts";
import { trampoline } from "../os/trampoline.ts";
import { decode, encode, type SocketAddress } from "../sockets/sockaddr.ts";
import type { ExecOrder } from "./become-command.ts";
import { filterFor, isKnownMachine } from "./calls.ts";
import { duplicates, HeldCharges } from "./held-charges.ts";
import { KeeperConnection, REPLY_MS, type Told } from "./keeper-connection.ts";
import { isKeeper, isKeepersChild } from "./kept-process.ts";
import { OWN_ENVIRONMENT, ownProgram } from "./own-program.ts";
import { descriptorsFor, startKeeper } from "./programs.ts";
import {
  type HandedListener,
  type KeeperEvent,
  type KeeperRequest,
  PROTOCOL,
  signalName,
} from "./protocol.ts";
import { describeRefusal, isRefusal } from "./refusal.ts";

/** Between two tries to start another keeper; the pauses double. */
const RETRY_MS = 200;
const RETRY_MS_MAX = 10_000;

/** What the command did, as the keeper tells it. */
export type Heard = Exclude<KeeperEvent, { event: "exited" }>;

/** A listener that the keeper has made, at an address that the command line does not name. */
export type Learned = Extract<KeeperEvent, { event: "listening" }>;

/** How a keeper is started, and how long it is waited for: tests have others. */
export interface Means {
  launch: typeof startKeeper;
  replyMs: number;
}

export class KeeperLink implements Disposable {
  #connection: KeeperConnection;
  readonly #exits = new Map<number, PromiseWithResolvers<ExitStatus>>();
  /** By the child that they are below: what has bound an address. */
  readonly #binders = new Map<number, Set<number>>();
  readonly #subscribers = new Set<(heard: Heard) => void>();
  /** By generation: where it listens, of what was given and what is learned. */
  readonly #listening = new Map<number, Set<string>>();
  readonly #childOf = new Map<number, number>();
  readonly #charges = new HeldCharges();
  /** Children of a keeper that was killed: how they end is seen in /proc. */
  readonly #left = new Set<number>();
  /** Of the keeper that is heard at present. */
  #keeper: Identity | undefined;
  #isReplacing = false;
  #isOver = false;

  private constructor(
    connection: number,
    private readonly door: string | undefined,
    private memory: number,
    private readonly means: Means,
  ) {
    this.#connection = new KeeperConnection(connection, means.replyMs);
  }

  /** `door`: the path where a later hupwatch finds it; without one it can only be found by this one. Throws HupwatchError and SystemError. */
  static start(
    door: string | undefined,
    means: Means = { launch: startKeeper, replyMs: REPLY_MS },
  ): KeeperLink {
    const memory = anonymousFile("hupwatch-call");
    const link = new KeeperLink(means.launch(door, memory), door, memory, means);
    try {
      link.#attach();
      return link;
    } catch (error) {
      link[Symbol.dispose]();
      throw error;
    }
  }

  /** The keeper that an earlier hupwatch has left at this door; undefined where none answers. */
  static find(door: string): KeeperLink | undefined {
    const fd = packetSocket();
    try {
      connect(fd, encode({ family: "unix", path: door }));
    } catch (error) {
      close(fd);
      if (error instanceof SystemError) return undefined;
      throw error;
    }
    const link = new KeeperLink(fd, door, -1, { launch: startKeeper, replyMs: REPLY_MS });
    try {
      link.#attach();
      return link;
    } catch (error) {
      link[Symbol.dispose]();
      if (error instanceof SystemError) return undefined;
      throw error;
    }
  }

  /** Hears from it. Of one that was found, what another one would need to go on comes with the answer. Throws SystemError. */
  #attach(): void {
    const connection = this.#connection;
    const [ours, theirs] = socketPair("stream");
    let told: Told;
    try {
      told = connection.ask({ do: "attach", protocol: PROTOCOL }, [theirs]);
    } catch (error) {
      close(ours);
      throw error;
    } finally {
      close(theirs);
    }
    const { reply, fds } = told;
    const [memory = -1, ...rest] = fds;
    if (this.memory < 0) this.memory = memory;
    else close(memory);
    const { children, charges, pid = 0 } = "children" in reply ? reply : { children: [], charges: [] };
    this.#keeper = isKeeper(pid) ? processOf(pid) : undefined;
    for (const { pid, binders } of children) this.#binders.set(pid, new Set(binders));
    for (const { generation, listeners, others, learns } of charges) {
      const [notify = -1, ...own] = rest.splice(0, 1 + listeners.length + others);
      this.#charges.add({ generation, notify, listeners, fds: own, learns });
    }
    connection.hear(
      ours,
      (event) => this.#hear(event),
      () => {
        if (this.#connection === connection) void this.#replace("was killed");
      },
    );
  }

  /**
   * It was killed, or hangs: the calls wait meanwhile, since we hold their descriptors, too. Where another one cannot be started now, it
   * is tried again: the service goes on all the while, and so does hupwatch.
   */
  async #replace(why: string): Promise<void> {
    if (this.#isReplacing) return;
    this.#isReplacing = true;
    for (let pauseMs = RETRY_MS; !this.#isOver; pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)) {
      try {
        this.#startAnother(why);
        break;
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        this.#trouble(`another keeper cannot be started, and is tried again: ${what}`);
        await Bun.sleep(pauseMs);
        // What is started meanwhile has brought one.
        if (this.#keeper) break;
      }
    }
    this.#isReplacing = false;
  }

  /** Throws SystemError. */
  #startAnother(why: string): void {
    const old = this.#keeper;
    this.#keeper = undefined;
    this.#connection[Symbol.dispose]();
    // One that hangs would answer what the other one answers already.
    if (old && isSame(old)) process.kill(old.pid, "SIGKILL");
    for (const pid of this.#binders.keys()) this.#watchLeft(pid);
    this.#connection = new KeeperConnection(this.means.launch(this.door, this.memory), this.means.replyMs);
    this.#attach();
    for (const { generation, notify, listeners, fds, learns } of this.#charges.all())
      this.#connection.ask({ do: "adopt", generation, listeners, learns }, [notify, ...fds]);
    this.#trouble(`the keeper ${why}: another one goes on`);
  }

  #trouble(what: string): void {
    this.#tellAll({ event: "trouble", generation: 0, what });
  }

  /** A child of the keeper that was killed: it is ours now, and its exit status cannot be known. */
  #watchLeft(pid: number): void {
    if (this.#left.has(pid)) return;
    this.#left.add(pid);
    const identity = processOf(pid);
    const exit = this.#exitOf(pid);
    if (!identity) exit.resolve({ code: undefined, signal: undefined });
    else void watchForeign(identity, realClock).exited.then((status) => exit.resolve(status));
  }

  #hear(event: KeeperEvent): void {
    if (event.event !== "exited") {
      if (event.event === "bound")
        this.#binders.get(this.#childOf.get(event.generation) ?? 0)?.add(event.pid);
      if (event.event === "listening") this.#listeningAt(event.generation).add(event.address);
      if (event.event === "released") this.#charges.release(event.generation);
      this.#tellAll(event);
      return;
    }
    const { code, signal } = event;
    // It tells of those that it has started for us, and of no others.
    if (!this.#binders.has(event.pid)) return;
    this.#exitOf(event.pid).resolve({
      code,
      signal: signal === undefined ? undefined : signalName(signal),
    });
  }

  #tellAll(heard: Heard): void {
    for (const subscriber of [...this.#subscribers]) subscriber(heard);
  }

  #listeningAt(generation: number): Set<string> {
    const known = this.#listening.get(generation) ?? new Set<string>();
    this.#listening.set(generation, known);
    return known;
  }

  #generationOf(pid: number): number {
    return [...this.#childOf].find(([, child]) => child === pid)?.[0] ?? 0;
  }

  #give({ generation, listeners, kept }: Interception): void {
    if (!this.#charges.has(generation)) return;
    const fds = [...listeners.map(({ fd }) => fd), ...kept];
    const more = listeners.map(handed);
    this.#ask({ do: "give", generation, listeners: more }, fds);
    const copies = duplicates(fds);
    const others = copies.splice(more.length);
    this.#charges.extend(generation, more, { fds: copies, others });
  }

  #forget(generation: number, inodes: readonly number[]): void {
    if (!this.#charges.has(generation)) return;
    this.#ask({ do: "forget", generation, inodes }, []);
    this.#charges.forget(generation, inodes);
  }

  /** A listener that the keeper has made for a generation, by its number in /proc; ours to close. Another keeper will have it, too. */
  takeLearned({ generation, inode, address, privatePath }: Learned): number | undefined {
    const fd = this.take(inode);
    if (fd === undefined || !this.#charges.has(generation)) return fd;
    const at = decode(getsockname(fd));
    const named: SocketAddress =
      at.family === "unix" ? { family: "unix", path: address.replace(/^unix:/, "") } : at;
    const ipv6Only = at.family === "inet6" && isIPv6Only(fd);
    const listener = { address: named, alsoAt: [], ipv6Only, privatePath };
    this.#charges.extend(generation, [listener], { fds: [dup(fd)] });
    return fd;
  }

  /** It may have ended before this is called. */
  #exitOf(pid: number): PromiseWithResolvers<ExitStatus> {
    const known = this.#exits.get(pid) ?? Promise.withResolvers<ExitStatus>();
    this.#exits.set(pid, known);
    return known;
  }

  /** The same system, but commands whose calls are to be trapped are started by the keeper. */
  over(os: Os): Os {
    return {
      ...os,
      spawn: (request) =>
        request.interception ? this.spawn(request, request.interception) : os.spawn(request),
      // Left by an earlier hupwatch: its end is told here, where others have to be looked at again and again.
      adopt: (identity) =>
        this.#binders.has(identity.pid) && isSame(identity) ? this.#child(identity.pid) : os.adopt(identity),
    };
  }

  subscribe(subscriber: (heard: Heard) => void): Disposable {
    this.#subscribers.add(subscriber);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) };
  }

  /** Throws SystemError: of a keeper that hangs, too, which is replaced. */
  #ask(request: KeeperRequest, fds: readonly number[]): Told {
    try {
      return this.#connection.ask(request, fds);
    } catch (error) {
      if (error instanceof SystemError && error.errno === "ETIMEDOUT") void this.#replace("does not answer");
      throw error;
    }
  }

  /** One that was killed just now is replaced first. */
  #askAnyOne(request: KeeperRequest, fds: readonly number[]): Told {
    try {
      return this.#ask(request, fds);
    } catch (error) {
      if (!(error instanceof SystemError) || !IS_GONE.has(error.errno)) throw error;
      this.#startAnother("was killed");
      return this.#ask(request, fds);
    }
  }

  /** As spawn() of os/spawn.ts, below the keeper. Throws HupwatchError. */
  spawn(request: SpawnRequest, interception: Interception): Child {
    requireRunnable(request);
    const listeners = interception.listeners.map(handed);
    const order = anonymousFile("hupwatch-order");
    // Before the start: what fails after it has to take the command back.
    let copies: number[] = [];
    try {
      copies = duplicates([...interception.listeners.map((l) => l.fd), ...interception.kept]);
      writeAll(order, Buffer.from(JSON.stringify(this.#orderFor(request, listeners))));
      const standard = [0, request.stdout ?? 1, request.stderr ?? 2];
      using given = descriptorsFor(standard);
      const { descriptors } = request;
      const { reply, fds } = this.#askAnyOne(
        {
          do: "start",
          generation: interception.generation,
          helper: ownProgram("exec"),
          helperEnv: OWN_ENVIRONMENT,
          descriptors: descriptors.length,
          listeners,
          learns: interception.learns,
        },
        [
          order,
          ...given.fds,
          ...descriptors,
          ...interception.listeners.map((l) => l.fd),
          ...interception.kept,
        ],
      );
      const [notify] = fds;
      if (!("child" in reply) || notify === undefined || !isKeepersChild(reply.child))
        throw new SystemError("keeper", "EPROTO");
      const { generation } = interception;
      this.#charges.add({
        generation,
        notify,
        listeners,
        learns: interception.learns,
        fds: copies.splice(0),
      });
      this.#binders.set(reply.child, new Set());
      this.#childOf.set(generation, reply.child);
      return this.#child(reply.child);
    } catch (error) {
      if (error instanceof SystemError) throw orExplain(request, error);
      throw error;
    } finally {
      for (const fd of [order, ...copies]) close(fd);
    }
  }

  #orderFor(request: SpawnRequest, listeners: readonly HandedListener[]): ExecOrder {
    const { words, env } = trampoline({ ...request, dieWithParent: false });
    if (!isKnownMachine(process.arch)) throw new SystemError("seccomp", "ENOSYS");
    const unix = listeners.filter(
      ({ address }) => address.family === "unix" || address.family === "abstract",
    );
    const lengths = unix.flatMap(({ address }) => [encode(address).length, encode(address).length - 1]);
    return {
      path: locate({ argv: words, env, cwd: request.cwd }),
      argv: words,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      directory: request.cwd,
      filter: filterFor(
        unix.length > 0 || request.interception?.learns ? "ports and paths" : "ports",
        process.arch,
        lengths,
      ),
    };
  }

  #child(pid: number): Child {
    const startTime = processOf(pid)?.startTime;
    const exit = this.#exitOf(pid);
    let isOver = false;
    void exit.promise.then(() => {
      isOver = true;
      this.#exits.delete(pid);
      this.#binders.delete(pid);
      this.#left.delete(pid);
    });
    return {
      pid,
      startTime,
      exited: exit.promise,
      listening: () => this.#listening.get(this.#generationOf(pid)) ?? new Set(),
      give: (more) => this.#give(more),
      forget: (inodes) => this.#forget(this.#generationOf(pid), inodes),
      server: () => {
        const server = serverBelow({ pid, startTime }, this.#binders.get(pid) ?? []);
        return server?.pid === pid ? undefined : server;
      },
      kill(signal) {
        // Its start time may not have been readable (EMFILE): it is the keeper's child as long as its end was not told.
        if (isOver || (startTime !== undefined && !isSame({ pid, startTime }))) return false;
        return sendSignal(pid, signal as NodeJS.Signals);
      },
    };
  }

  /** A duplicate of a listener that it keeps, by the socket's number in /proc; ours to close. Throws SystemError. */
  readonly take = (inode: number): number | undefined => {
    const known = this.#charges.duplicateOf(inode);
    if (known !== undefined) return known;
    const { fds } = this.#askAnyOne({ do: "take", inode }, []);
    const [found, ...others] = fds.filter((fd) => {
      if (fstatSync(fd).ino === inode) return true;
      close(fd);
      return false;
    });
    for (const fd of others) close(fd);
    return found;
  };

  /** Lets go of it. It goes on as long as there is a command to keep. */
  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection[Symbol.dispose]();
    this.#charges[Symbol.dispose]();
    if (this.memory >= 0) close(this.memory);
  }
}

/** Of a request to a keeper that has ended. */
const IS_GONE = new Set(["EPIPE", "ECONNRESET"]);

const handed = ({ fd, sockaddr, alsoAt, privatePath }: Interception["listeners"][number]): HandedListener => {
  const address = decode(sockaddr);
  return { address, alsoAt, privatePath, ipv6Only: address.family === "inet6" && isIPv6Only(fd) };
};

function orExplain({ argv }: SpawnRequest, error: SystemError): HupwatchError {
  if (error.syscall === "execve") return cannotStart(argv[0] ?? "", error.errno, error);
  const why = describeRefusal(error);
  if (!isRefusal(error))
    return new HupwatchError("intercept.failed", `cannot start '${argv[0]}': ${why}`, { cause: error });
  return new HupwatchError("intercept.refused", `cannot intercept '${argv[0]}': ${why}`, {
    hint: "let it take its listeners by LISTEN_FDS, {fd} or {socket} (--bind), or use --handover none, whose swaps lose clients",
    cause: error,
  });
}
