/**
 * hupwatch's end of its keeper: starts it, has commands started by it, and hears what it sees. One keeper for one hupwatch; where
 * an earlier hupwatch of the same name has left one, that one goes on.
 */
import { fstatSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { HupwatchError } from "../error.ts";
import { bind, close, connect, isIPv6Only, listen, SystemError } from "../os/libc.ts";
import {
  anonymousFile,
  packetSocket,
  receiveWithDescriptors,
  sendWithDescriptors,
  setSendBuffer,
  socketPair,
  startProgram,
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
import { decode, encode } from "../sockets/sockaddr.ts";
import type { ExecOrder } from "./become-command.ts";
import { filterFor, isKnownMachine } from "./calls.ts";
import {
  BLOCKED_SIGNALS,
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

/** The programs of this room, as this hupwatch was started itself: from its sources, its bundles or one executable. */
function ownProgram(): string[] {
  const { execPath } = process;
  if (Bun.main.startsWith("/$bunfs/")) return [execPath, "intercept"];
  const flags = ["--no-env-file", "--config=/dev/null"];
  const isBundled = /\/dist\/js\/\w+\.cjs$/.test(Bun.main);
  return [
    execPath,
    ...flags,
    isBundled ? `${dirname(Bun.main)}/intercept.cjs` : `${import.meta.dir}/entry.ts`,
  ];
}

/** As launcher.sh has it, and for the same reasons: no compiler, and no thread that a fork or a signal could meet. */
const OWN_ENVIRONMENT = [
  ...["BUN_JSC_useBaselineJIT=0", "BUN_JSC_useDFGJIT=0"],
  ...["BUN_JSC_useConcurrentGC=0", "BUN_JSC_numberOfGCMarkers=1"],
];

export class KeeperLink implements Disposable {
  readonly #connection: number;
  readonly #exits = new Map<number, PromiseWithResolvers<ExitStatus>>();
  /** By the child that they are below: what has bound an address. */
  readonly #binders = new Map<number, Set<number>>();
  readonly #ears = new Set<(heard: Heard) => void>();
  readonly #notify: number[] = [];
  readonly #childOf = new Map<number, number>();
  #isOver = false;

  private constructor(connection: number) {
    this.#connection = connection;
    setSendBuffer(connection, 2 * PACKET_BYTES_MAX);
  }

  /** `door`: the path where a later hupwatch finds it; without one it can only be found by this one. Throws HupwatchError and SystemError. */
  static async start(door: string | undefined): Promise<KeeperLink> {
    const [ours, theirs] = socketPair("packets");
    const memory = anonymousFile("hupwatch-call");
    const listening = door === undefined ? undefined : openDoor(door);
    try {
      using standard = descriptorsFor(["ignore", "ignore", 2]);
      const fds = [...standard.fds, theirs, memory, ...(listening === undefined ? [] : [listening])];
      const where = door === undefined ? ["-", "-"] : ["5", door];
      startProgram([...ownProgram(), "keep", ...where, "3", "4"], OWN_ENVIRONMENT, fds, BLOCKED_SIGNALS);
    } finally {
      for (const fd of [theirs, memory, listening]) if (fd !== undefined) close(fd);
    }
    const link = new KeeperLink(ours);
    await link.#attach();
    return link;
  }

  /** The keeper that an earlier hupwatch has left at this door; undefined where none answers. */
  static async find(door: string): Promise<KeeperLink | undefined> {
    const fd = packetSocket();
    try {
      connect(fd, encode({ family: "unix", path: door }));
      const link = new KeeperLink(fd);
      await link.#attach();
      return link;
    } catch (error) {
      close(fd);
      if (error instanceof SystemError) return undefined;
      throw error;
    }
  }

  async #attach(): Promise<void> {
    const [ours, theirs] = socketPair("stream");
    const { reply } = this.#ask({ do: "attach", protocol: PROTOCOL }, [theirs]);
    close(theirs);
    for (const { pid, binders } of "children" in reply ? reply.children : [])
      this.#binders.set(pid, new Set(binders));
    let rest = "";
    await Bun.connect({
      fd: ours,
      socket: {
        data: (_: unknown, bytes: Buffer) => {
          const lines = (rest + bytes.toString()).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) this.#hear(readEvent(line));
        },
        error: () => {},
        close: () => {},
      },
    } as never);
  }

  #hear(event: KeeperEvent | undefined): void {
    if (!event) return;
    if (event.event !== "exited") {
      if (event.event === "bound")
        this.#binders.get(this.#childOf.get(event.generation) ?? 0)?.add(event.pid);
      for (const ear of [...this.#ears]) ear(event);
      return;
    }
    const { code, signal } = event;
    this.#exitOf(event.pid).resolve({
      code,
      signal: signal === undefined ? undefined : signalName(signal),
    });
  }

  /** It may have ended before anybody asks. */
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

  listen(ear: (heard: Heard) => void): Disposable {
    this.#ears.add(ear);
    return { [Symbol.dispose]: () => void this.#ears.delete(ear) };
  }

  #ask(
    request: KeeperRequest,
    fds: readonly number[],
  ): { reply: Extract<KeeperReply, { ok: true }>; fds: number[] } {
    sendWithDescriptors(this.#connection, Buffer.from(JSON.stringify(request)), fds);
    if (waitFor([this.#connection], REPLY_MS).length === 0) throw new SystemError("keeper", "ETIMEDOUT");
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
        },
        [
          order,
          ...given.fds,
          ...descriptors,
          ...interception.listeners.map((l) => l.fd),
          ...interception.kept,
        ],
      );
      this.#notify.push(...fds);
      if (!("pid" in reply)) throw new SystemError("keeper", "EPROTO");
      this.#binders.set(reply.pid, new Set());
      this.#childOf.set(interception.generation, reply.pid);
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
      filter: filterFor(unix.length > 0 ? "ports and paths" : "ports", process.arch, lengths),
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
    for (const fd of this.#notify) close(fd);
  }
}

const handed = ({ fd, sockaddr, alsoAt, privatePath }: Interception["listeners"][number]): HandedListener => {
  const address = decode(sockaddr);
  return { address, alsoAt, privatePath, ipv6Only: address.family === "inet6" && isIPv6Only(fd) };
};

/** "ignore" is /dev/null. */
function descriptorsFor(standard: readonly (number | "ignore")[]): { fds: number[] } & Disposable {
  const nothing = openSync("/dev/null", "r+");
  return {
    fds: standard.map((fd) => (fd === "ignore" ? nothing : fd)),
    [Symbol.dispose]: () => close(nothing),
  };
}

/** In the run directory, which is ours alone. */
function openDoor(path: string): number {
  rmSync(path, { force: true });
  const fd = packetSocket();
  bind(fd, encode({ family: "unix", path }));
  listen(fd, 4);
  return fd;
}

function orExplain({ argv }: SpawnRequest, error: SystemError): HupwatchError {
  if (error.syscall === "execve") return cannotStart(argv[0] ?? "", error.errno, error);
  return new HupwatchError("intercept.failed", `cannot intercept '${argv[0]}': ${error.message}`, {
    hint: "use --handover none, or another way to hand over its listeners",
    cause: error,
  });
}
