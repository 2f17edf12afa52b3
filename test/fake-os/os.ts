/** An operating system whose processes do what the test says, when it says so. */
import { constants } from "node:os";
import type { HupwatchError } from "../../src/error.ts";
import type { ConnectionWatch } from "../../src/os/connections.ts";
import { Look } from "../../src/os/look.ts";
import type { OomKills } from "../../src/os/oom.ts";
import type { Os } from "../../src/os/os.ts";
import type { OwnListener } from "../../src/os/own-listeners.ts";
import type { Process } from "../../src/os/procfs.ts";
import type { Child, ExitStatus, SpawnRequest } from "../../src/os/spawn.ts";
import { TurnedClock } from "./clock.ts";

/** Part of a generation's tree besides its leader. */
export interface Follower extends Process {
  /** What ends it. */
  endsBy: "SIGTERM" | "SIGKILL" | "nothing";
  /** It ends with its leader, as workers do that look at their parent's pid. */
  loyal: boolean;
}

export class FakeChild implements Child {
  readonly startTime = 1;
  readonly exited: Promise<ExitStatus>;
  readonly signals: string[] = [];
  readonly followers: Follower[] = [];
  running = true;
  /** Signals that end it at once; KILL always does. */
  endsBy: string[] = [];
  readonly #exit = Promise.withResolvers<ExitStatus>();

  constructor(
    readonly pid: number,
    readonly request: SpawnRequest,
  ) {
    this.exited = this.#exit.promise;
  }

  get generation(): number {
    return Number(this.request.env.HUPWATCH_GENERATION);
  }

  exits(code = 0): void {
    this.#end({ code, signal: undefined });
  }

  dies(signal: string): void {
    this.#end({ code: undefined, signal });
  }

  forks(follower: Partial<Follower> = {}): Follower {
    const pid = this.pid * 100 + this.followers.length;
    const made: Follower = {
      pid,
      startTime: 1,
      ppid: this.pid,
      session: this.pid,
      state: "S",
      command: "worker",
      endsBy: "SIGKILL",
      loyal: false,
      ...follower,
    };
    this.followers.push(made);
    return made;
  }

  kill(signal: string): boolean {
    if (!this.running) return false;
    this.signals.push(signal);
    if (signal === "SIGKILL" || this.endsBy.includes(signal)) this.dies(signal);
    return true;
  }

  #end(status: ExitStatus): void {
    if (!this.running) throw new Error(`process ${this.pid} has ended already`);
    this.running = false;
    this.followers.splice(0, Infinity, ...this.followers.filter((f) => !f.loyal));
    this.#exit.resolve(status);
  }
}

export class FakeOs implements Os {
  readonly pid = 1000;
  readonly clock = new TurnedClock();
  readonly children: FakeChild[] = [];
  /** What the next spawn throws. */
  refusal: HupwatchError | undefined;

  spawn(request: SpawnRequest): Child {
    if (this.refusal) throw this.refusal;
    const child = new FakeChild(1001 + this.children.length, request);
    this.children.push(child);
    return child;
  }

  look(): Look {
    return new Look();
  }

  tree({ leader }: { leader: { pid: number } }): Process[] {
    const child = this.children.find((c) => c.pid === leader.pid);
    if (!child) return [];
    const self = {
      pid: child.pid,
      startTime: 1,
      ppid: this.pid,
      session: child.pid,
      state: "S",
      command: "server",
    };
    return [...(child.running ? [self] : []), ...child.followers];
  }

  strays(): Process[] {
    return [];
  }

  uidOf(): number {
    return 1000;
  }

  isRunning({ pid }: { pid: number }): boolean {
    return this.children.some((child) => child.pid === pid && child.running);
  }

  marked(): [] {
    return [];
  }

  isHupwatch(): boolean {
    return false;
  }

  socketsOf(): ReadonlyMap<string, number> {
    return new Map();
  }

  takeDescriptor(): undefined {
    return undefined;
  }

  inodeOf(): undefined {
    return undefined;
  }

  expects(): boolean {
    return true;
  }

  kill(target: Process, signal: NodeJS.Signals): boolean {
    if (!(signal in constants.signals)) throw new RangeError(`${signal} is no signal`);
    for (const child of this.children) {
      if (child.pid === target.pid) return child.kill(signal);
      const at = child.followers.findIndex((f) => f.pid === target.pid);
      const follower = child.followers[at];
      if (!follower) continue;
      const ends = follower.endsBy === signal || (signal === "SIGKILL" && follower.endsBy !== "nothing");
      if (ends) child.followers.splice(at, 1);
      return true;
    }
    return false;
  }

  /** What the next looks at its connections find. */
  connections = 0;

  watchConnections(): ConnectionWatch {
    return {
      look: () => ({ isIdle: this.connections === 0, nextMs: 100 }),
      [Symbol.dispose]() {},
    };
  }

  /** Whether the next look at what accepts finds a process. */
  accepting = true;

  accepts(): boolean {
    return this.accepting;
  }

  /** Where the processes of every generation listen by themselves. */
  listening: OwnListener[] = [];

  workOf() {
    return { ticks: 0, isBusy: false };
  }

  seenAtMs(): number {
    return 0;
  }

  listenersOf(): OwnListener[] {
    return this.listening;
  }

  /** Of all its processes together. */
  bytes = 0;
  proportionalBytes(): number {
    return this.bytes;
  }

  changedAt: number | undefined;
  changedAtMs(): number | undefined {
    return this.changedAt;
  }

  /** So many processes the kernel has killed for want of memory. */
  killed = 0;

  oomKills(): OomKills {
    return { kills: this.killed, where: "control group" };
  }

  adopt(): Child {
    throw new Error("nobody survived on this machine");
  }

  tap(): undefined {
    return undefined;
  }

  hasOneOutput(): boolean {
    return false;
  }

  notifySocket(): never {
    throw new Error("this machine has no datagram sockets");
  }
}
