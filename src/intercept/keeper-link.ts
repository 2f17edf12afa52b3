/**
 * hupwatch's end of its keeper: has commands started by it, and hears what it sees. One keeper for one hupwatch; where
 * an earlier hupwatch of the same name has left one, that one goes on.
 */
import { fstatSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { close, dup, getsockname, isIPv6Only, SystemError } from "../os/libc.ts";
import { anonymousFile, writeAll } from "../os/libc-intercept.ts";
import { requireRunnable } from "../os/lookup.ts";
import type { Os } from "../os/os.ts";
import { isSame } from "../os/procfs.ts";
import { type Child, cannotStart, type Interception, type SpawnRequest } from "../os/spawn.ts";
import { decode, type SocketAddress } from "../sockets/sockaddr.ts";
import { execOrder, handed } from "./exec-order.ts";
import { duplicates, type HeldCharge } from "./held-charges.ts";
import { type Heard, KeptCommands } from "./kept-commands.ts";
import { isKeepersChild } from "./kept-process.ts";
import { LastingKeeper, MEANS, type Means } from "./lasting-keeper.ts";
import { OWN_ENVIRONMENT, ownProgram } from "./own-program.ts";
import { descriptorsFor } from "./programs.ts";
import type { KeeperEvent } from "./protocol.ts";
import { describeRefusal, isRefusal } from "./refusal.ts";

export type { Heard };

/** A listener that the keeper has made, at an address that the command line does not name. */
export type Learned = Extract<KeeperEvent, { event: "listening" }>;

export class KeeperLink implements Disposable {
  private constructor(
    private readonly keeper: LastingKeeper,
    private readonly commands: KeptCommands,
  ) {}

  /** `door`: the path where a later hupwatch finds it; without one it can only be found by this one. Throws HupwatchError and SystemError. */
  static start(door: string | undefined, means: Means = MEANS): KeeperLink {
    const commands = new KeptCommands();
    return new KeeperLink(LastingKeeper.start(door, commands, means), commands);
  }

  /** The keeper that an earlier hupwatch has left at this door; undefined where none answers. */
  static find(door: string): KeeperLink | undefined {
    using unused = new DisposableStack();
    const commands = unused.use(new KeptCommands());
    const keeper = LastingKeeper.find(door, commands);
    if (!keeper) return undefined;
    unused.move();
    return new KeeperLink(keeper, commands);
  }

  /** The same system, but commands whose calls are to be trapped are started by the keeper. */
  over(os: Os): Os {
    return {
      ...os,
      spawn: (request) =>
        request.interception ? this.spawn(request, request.interception) : os.spawn(request),
      // Left by an earlier hupwatch: its end is told here, where others have to be looked at again and again.
      adopt: (identity) =>
        this.commands.has(identity.pid) && isSame(identity) ? this.#child(identity.pid) : os.adopt(identity),
    };
  }

  subscribe(subscriber: (heard: Heard) => void): Disposable {
    return this.commands.subscribe(subscriber);
  }

  /** As spawn() of os/spawn.ts, below the keeper. Throws HupwatchError. */
  spawn(request: SpawnRequest, interception: Interception): Child {
    requireRunnable(request);
    const { generation, learns } = interception;
    const listeners = interception.listeners.map(handed);
    const kept = descriptorsIn(interception);
    const order = anonymousFile("hupwatch-order");
    // Before the start: what fails after it has to take the command back.
    let copies: number[] = [];
    try {
      copies = duplicates(kept);
      writeAll(order, Buffer.from(JSON.stringify(execOrder(request, listeners))));
      const { child, notify } = this.#startBelow(request, { generation, learns, listeners }, order, kept);
      this.commands.charges.add({ generation, notify, listeners, learns, fds: copies.splice(0) });
      this.commands.started(child, generation);
      return this.#child(child);
    } catch (error) {
      if (error instanceof SystemError) throw orExplain(request, error);
      throw error;
    } finally {
      for (const fd of [order, ...copies]) close(fd);
    }
  }

  /** Throws SystemError. */
  #startBelow(
    { descriptors, stdout = 1, stderr = 2 }: SpawnRequest,
    about: Pick<HeldCharge, "generation" | "learns" | "listeners">,
    order: number,
    kept: readonly number[],
  ): { child: number; notify: number } {
    using standard = descriptorsFor([0, stdout, stderr]);
    const helper = { helper: ownProgram("exec"), helperEnv: OWN_ENVIRONMENT };
    const { reply, fds } = this.keeper.askAnyOne(
      { do: "start", ...about, ...helper, descriptors: descriptors.length },
      [order, ...standard.fds, ...descriptors, ...kept],
    );
    const [notify] = fds;
    if (!("child" in reply) || notify === undefined || !isKeepersChild(reply.child))
      throw new SystemError("keeper", "EPROTO");
    return { child: reply.child, notify };
  }

  #child(pid: number): Child {
    return {
      ...this.commands.child(pid),
      give: (more) => this.#give(more),
      forget: (inodes) => this.#forget(this.commands.generationOf(pid), inodes),
    };
  }

  #give(more: Interception): void {
    const { charges } = this.commands;
    const { generation } = more;
    if (!charges.has(generation)) return;
    const listeners = more.listeners.map(handed);
    const fds = descriptorsIn(more);
    this.keeper.ask({ do: "give", generation, listeners }, fds);
    const copies = duplicates(fds);
    const others = copies.splice(listeners.length);
    charges.extend(generation, listeners, { fds: copies, others });
  }

  #forget(generation: number, inodes: readonly number[]): void {
    const { charges } = this.commands;
    if (!charges.has(generation)) return;
    this.keeper.ask({ do: "forget", generation, inodes }, []);
    charges.forget(generation, inodes);
  }

  /** A duplicate of a listener that it keeps, by the socket's number in /proc; ours to close. Throws SystemError. */
  readonly take = (inode: number): number | undefined => {
    const known = this.commands.charges.duplicateOf(inode);
    if (known !== undefined) return known;
    const { fds } = this.keeper.askAnyOne({ do: "take", inode }, []);
    const [found, ...others] = fds.filter((fd) => {
      if (fstatSync(fd).ino === inode) return true;
      close(fd);
      return false;
    });
    for (const fd of others) close(fd);
    return found;
  };

  /** A listener that the keeper has made for a generation, by its number in /proc; ours to close. Another keeper will have it, too. */
  takeLearned({ generation, inode, address, privatePath }: Learned): number | undefined {
    const { charges } = this.commands;
    const fd = this.take(inode);
    if (fd === undefined || !charges.has(generation)) return fd;
    const at = decode(getsockname(fd));
    const named: SocketAddress =
      at.family === "unix" ? { family: "unix", path: address.replace(/^unix:/, "") } : at;
    const ipv6Only = at.family === "inet6" && isIPv6Only(fd);
    charges.extend(generation, [{ address: named, alsoAt: [], ipv6Only, privatePath }], { fds: [dup(fd)] });
    return fd;
  }

  /** Lets go of it. It goes on as long as there is a command to keep. */
  [Symbol.dispose](): void {
    this.keeper[Symbol.dispose]();
    this.commands[Symbol.dispose]();
  }
}

/** A listener for each, and what else stays open with them. */
const descriptorsIn = ({ listeners, kept }: Interception): number[] => [
  ...listeners.map(({ fd }) => fd),
  ...kept,
];

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
