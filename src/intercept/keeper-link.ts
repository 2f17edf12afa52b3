/**
 * hupwatch's end of its keeper: starts it, has commands started by it, and hears what it sees. One keeper for one hupwatch; where
 * an earlier hupwatch of the same name has left one, that one goes on.
 */
import { fstatSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { realClock } from "../os/clock.ts";
import { watchForeign } from "../os/foreign.ts";
import { close, connect, dup, getsockname, isIPv6Only, SystemError } from "../os/libc.ts";
import {
  anonymousFile,
  packetSocket,
  receiveWithDescriptors,
  sendWithDescriptors,
  setSendBuffer,
  socketPair,
  waitFor,
  writeAll,
} from "../os/libc-intercept.ts";
import { locate, requireRunnable } from "../os/lookup.ts";
import type { Os } from "../os/os.ts";
import { isSame, processOf } from "../os/procfs.ts";
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
import { OWN_ENVIRONMENT, ownProgram } from "./own-program.ts";
import { descriptorsFor, startKeeper } from "./programs.ts";
import {
  type HandedListener,
  type KeeperEvent,
  type KeeperReply,
  type KeeperRequest,
  PACKET_BYTES_MAX,
  PROTOCOL,
  readEvent,
  signalName,
} from "./protocol.ts";

/** Longer than the keeper waits for its helper. */
const REPLY_MS = 15_000;

/** What the command did, as the keeper tells it. */
export type Heard = Exclude<KeeperEvent, { event: "exited" }>;

/** Of a generation whose calls are answered, what another keeper needs to go on. */
interface HeldCharge {
  generation: number;
  notify: number;
  listeners: readonly HandedListener[];
  /** Duplicates of its listeners and of what else stays open. */
  fds: readonly number[];
  learns: { backlog: number } | undefined;
}

/** A listener that the keeper has made, at an address that the command line does not name. */
export type Learned = Extract<KeeperEvent, { event: "listening" }>;

export class KeeperLink implements Disposable {
  #connection: number;
  readonly #exits = new Map<number, PromiseWithResolvers<ExitStatus>>();
  /** By the child that they are below: what has bound an address. */
  readonly #binders = new Map<number, Set<number>>();
  readonly #subscribers = new Set<(heard: Heard) => void>();
  /** By generation: where it listens, of what was given and what is learned. */
  readonly #listening = new Map<number, Set<string>>();
  readonly #childOf = new Map<number, number>();
  readonly #charges = new Map<number, HeldCharge>();
  /** Of the keeper that is heard at present. */
  #attachment: symbol | undefined;
  #isOver = false;

  private constructor(
    connection: number,
    private readonly door: string | undefined,
    private memory: number,
  ) {
    this.#connection = connection;
    setSendBuffer(connection, 2 * PACKET_BYTES_MAX);
  }

  /** `door`: the path where a later hupwatch finds it; without one it can only be found by this one. Throws HupwatchError and SystemError. */
  static async start(door: string | undefined): Promise<KeeperLink> {
    const memory = anonymousFile("hupwatch-call");
    const link = new KeeperLink(startKeeper(door, memory), door, memory);
    await link.#attach();
    return link;
  }

  /** The keeper that an earlier hupwatch has left at this door; undefined where none answers. */
  static async find(door: string): Promise<KeeperLink | undefined> {
    const fd = packetSocket();
    try {
      connect(fd, encode({ family: "unix", path: door }));
      const link = new KeeperLink(fd, door, -1);
      await link.#attach();
      return link;
    } catch (error) {
      close(fd);
      if (error instanceof SystemError) return undefined;
      throw error;
    }
  }

  /** Hears from it. Of one that was found, what another one would need to go on comes with the answer. */
  async #attach(): Promise<void> {
    const [ours, theirs] = socketPair("stream");
    const { reply, fds } = this.#ask({ do: "attach", protocol: PROTOCOL }, [theirs]);
    close(theirs);
    const [memory = -1, ...rest] = fds;
    if (this.memory < 0) this.memory = memory;
    else close(memory);
    const { children, charges } = "children" in reply ? reply : { children: [], charges: [] };
    for (const { pid, binders } of children) this.#binders.set(pid, new Set(binders));
    for (const { generation, listeners, others, learns } of charges) {
      const [notify = -1, ...own] = rest.splice(0, 1 + listeners.length + others);
      this.#charges.set(generation, { generation, notify, listeners, fds: own, learns });
    }
    let line = "";
    const attachment = Symbol();
    this.#attachment = attachment;
    await Bun.connect({
      fd: ours,
      socket: {
        data: (_: unknown, bytes: Buffer) => {
          const lines = (line + bytes.toString()).split("\n");
          line = lines.pop() ?? "";
          for (const whole of lines) this.#hear(readEvent(whole));
        },
        error: () => {},
        close: () => {
          if (this.#attachment === attachment) void this.#replace("was killed");
        },
      },
    } as never);
  }

  /** It was killed: the calls wait meanwhile, since we hold their descriptors, too. */
  async #replace(why: string): Promise<void> {
    if (this.#isOver) return;
    this.#attachment = undefined;
    this.#tellAll({ event: "trouble", generation: 0, what: `the keeper ${why}: another one goes on` });
    const orphaned = [...this.#binders.keys()];
    this.#binders.clear();
    close(this.#connection);
    this.#connection = startKeeper(this.door, this.memory);
    setSendBuffer(this.#connection, 2 * PACKET_BYTES_MAX);
    // First of all the calls: processes wait for their answers.
    for (const { generation, notify, listeners, fds, learns } of this.#charges.values())
      this.#ask({ do: "adopt", generation, listeners, learns }, [notify, ...fds]);
    for (const pid of orphaned) this.#watchOrphaned(pid);
    await this.#attach();
  }

  /** A child of the keeper that was killed: it is ours now, and its exit status cannot be known. */
  #watchOrphaned(pid: number): void {
    const identity = processOf(pid);
    const exit = this.#exitOf(pid);
    if (!identity) exit.resolve({ code: undefined, signal: undefined });
    else void watchForeign(identity, realClock).exited.then((status) => exit.resolve(status));
  }

  #hear(event: KeeperEvent | undefined): void {
    if (!event) return;
    if (event.event !== "exited") {
      if (event.event === "bound")
        this.#binders.get(this.#childOf.get(event.generation) ?? 0)?.add(event.pid);
      if (event.event === "listening") this.#listeningAt(event.generation).add(event.address);
      if (event.event === "released") this.#letGo(event.generation);
      this.#tellAll(event);
      return;
    }
    const { code, signal } = event;
    this.#exitOf(event.pid).resolve({
      code,
      signal: signal === undefined ? undefined : signalName(signal),
    });
  }

  #tellAll(heard: Heard): void {
    for (const subscriber of [...this.#subscribers]) subscriber(heard);
  }

  #letGo(generation: number): void {
    const charge = this.#charges.get(generation);
    this.#charges.delete(generation);
    for (const fd of charge ? [charge.notify, ...charge.fds] : []) close(fd);
  }

  #listeningAt(generation: number): Set<string> {
    const known = this.#listening.get(generation) ?? new Set<string>();
    this.#listening.set(generation, known);
    return known;
  }

  #generationOf(pid: number): number {
    return [...this.#childOf].find(([, child]) => child === pid)?.[0] ?? 0;
  }

  #forget(generation: number, inodes: readonly number[]): void {
    const charge = this.#charges.get(generation);
    if (!charge) return;
    this.#ask({ do: "forget", generation, inodes }, []);
    const isForgotten = charge.fds.map((fd) => inodes.includes(fstatSync(fd).ino));
    const isKept = (_: unknown, i: number) => isForgotten[i] !== true;
    for (const fd of charge.fds.filter((_, i) => isForgotten[i])) close(fd);
    const listeners = charge.listeners.filter(isKept);
    this.#charges.set(generation, { ...charge, listeners, fds: charge.fds.filter(isKept) });
  }

  /** A listener that the keeper has made for a generation, by its number in /proc; ours to close. Another keeper will have it, too. */
  takeLearned({ generation, inode, address, privatePath }: Learned): number | undefined {
    const fd = this.take(inode);
    const charge = this.#charges.get(generation);
    if (fd === undefined || !charge) return fd;
    const at = decode(getsockname(fd));
    const named: SocketAddress =
      at.family === "unix" ? { family: "unix", path: address.replace(/^unix:/, "") } : at;
    const ipv6Only = at.family === "inet6" && isIPv6Only(fd);
    const listener = { address: named, alsoAt: [], ipv6Only, privatePath };
    this.#charges.set(generation, {
      ...charge,
      listeners: [listener, ...charge.listeners],
      fds: [dup(fd), ...charge.fds],
    });
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

  #ask(
    request: KeeperRequest,
    fds: readonly number[],
  ): { reply: Extract<KeeperReply, { ok: true }>; fds: number[] } {
    sendWithDescriptors(this.#connection, Buffer.from(JSON.stringify(request)), fds);
    if (waitFor([this.#connection], REPLY_MS).length === 0) {
      // It hangs, or is stopped: what it would answer later must not be taken for another answer.
      void this.#replace("does not answer");
      throw new SystemError("keeper", "ETIMEDOUT");
    }
    const { bytes, fds: got } = receiveWithDescriptors(this.#connection, PACKET_BYTES_MAX);
    if (bytes.length === 0) throw new SystemError("keeper", "EPIPE");
    const reply = JSON.parse(Buffer.from(bytes).toString()) as KeeperReply;
    if (reply.ok) return { reply, fds: got };
    for (const fd of got) close(fd);
    throw new SystemError(reply.call, reply.errno);
  }

  /** As spawn() of os/spawn.ts, below the keeper. Throws HupwatchError. */
  spawn(request: SpawnRequest, interception: Interception): Child {
    requireRunnable(request);
    const listeners = interception.listeners.map(handed);
    const order = anonymousFile("hupwatch-order");
    try {
      writeAll(order, Buffer.from(JSON.stringify(this.#orderFor(request, listeners))));
      const standard = [0, request.stdout ?? 1, request.stderr ?? 2];
      using given = descriptorsFor(standard);
      const { descriptors } = request;
      const { reply, fds } = this.#ask(
        {
          do: "start",
          generation: interception.generation,
          helper: [...ownProgram(), "exec"],
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
      if (!("pid" in reply) || notify === undefined) throw new SystemError("keeper", "EPROTO");
      const { generation } = interception;
      this.#charges.set(generation, {
        generation,
        notify,
        listeners,
        learns: interception.learns,
        fds: [...interception.listeners.map((l) => l.fd), ...interception.kept].map(dup),
      });
      this.#binders.set(reply.pid, new Set());
      this.#childOf.set(generation, reply.pid);
      return this.#child(reply.pid);
    } catch (error) {
      if (error instanceof SystemError) throw orExplain(request, error);
      throw error;
    } finally {
      close(order);
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
    const startTime = processOf(pid)?.startTime ?? 0;
    const exit = this.#exitOf(pid);
    let isOver = false;
    void exit.promise.then(() => {
      isOver = true;
      this.#exits.delete(pid);
      this.#binders.delete(pid);
    });
    return {
      pid,
      startTime,
      exited: exit.promise,
      listening: () => this.#listening.get(this.#generationOf(pid)) ?? new Set(),
      forget: (inodes) => this.#forget(this.#generationOf(pid), inodes),
      server: () => {
        const server = serverBelow({ pid, startTime }, this.#binders.get(pid) ?? []);
        return server?.pid === pid ? undefined : server;
      },
      kill(signal) {
        if (isOver || !isSame({ pid, startTime })) return false;
        process.kill(pid, signal);
        return true;
      },
    };
  }

  /** A duplicate of a listener that it keeps, by the socket's number in /proc; ours to close. */
  readonly take = (inode: number): number | undefined => {
    const { fds } = this.#ask({ do: "take", inode }, []);
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
    close(this.#connection);
    for (const generation of [...this.#charges.keys()]) this.#letGo(generation);
    close(this.memory);
  }
}

const handed = ({ fd, sockaddr, alsoAt, privatePath }: Interception["listeners"][number]): HandedListener => {
  const address = decode(sockaddr);
  return { address, alsoAt, privatePath, ipv6Only: address.family === "inet6" && isIPv6Only(fd) };
};

/** Why calls cannot be answered here, by what the kernel said to it. */
const REFUSALS: Record<string, string> = {
  EBUSY: "a supervisor above hupwatch answers its system calls already, and the kernel allows one",
  ENOSYS: "this kernel does not have seccomp filters, or a container forbids them",
  EINVAL: "this kernel is older than Linux 5.9",
  EOPNOTSUPP: "this kernel is older than Linux 5.9",
  EPERM: "the seccomp profile of this container forbids it",
  EACCES: "the seccomp profile of this container forbids it",
};

function orExplain({ argv }: SpawnRequest, error: SystemError): HupwatchError {
  if (error.syscall === "execve") return cannotStart(argv[0] ?? "", error.errno, error);
  const why = REFUSALS[error.errno] ?? error.message;
  return new HupwatchError("intercept.refused", `cannot intercept '${argv[0]}': ${why}`, {
    hint: "let it take its listeners by LISTEN_FDS, {fd} or {socket} (--bind), or use --handover none, whose swaps lose clients",
    cause: error,
  });
}
