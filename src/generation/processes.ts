/**
 * The processes of one generation: its leader, the server below it if the leader is only a wrapper, and everything that they
 * started. It owns what is known of the leader, and sends every signal to them.
 */
import type { Gen, Tell } from "../events/service-event.ts";
import { uidOf } from "../os/accounts.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { poll } from "../os/clock.ts";
import type { Os } from "../os/os.ts";
import type { Leader, Process } from "../os/procfs.ts";
import type { Child, ExitStatus } from "../os/spawn.ts";
import { treeQueryOf } from "./record.ts";

/** Most wrappers end by themselves, with the status of their server. */
const WRAPPER_LOOK_MS = 50;

const AGE: Aid = {
  what: "reading the age of a process",
  loss: "no directory counts as made by its generation",
};
const USER: Aid = {
  what: "reading the user of a process",
  loss: "it counts as the command's user",
};

export class Processes implements Disposable {
  /** Of `--user`, else our own. */
  readonly commandUid: number | undefined;
  #child: Child | undefined;
  #exit: ExitStatus | undefined;
  #startedAt: number;
  /** As the times of files are. */
  #seenAtMs = 0;
  /** The pid in its environment: an adopted one was started by another hupwatch. */
  #hupwatchPid: number;
  /** Its leader's uid, as last seen: a command may start as root and change its user by itself. */
  #uid: number | undefined;
  /** Signals, by hupwatch. */
  readonly #sent = new Set<string>();
  #wrapper: Disposable | undefined;

  constructor(
    private readonly gen: Gen,
    user: string | undefined,
    private readonly os: Os,
    private readonly tell: Tell,
    private readonly exited: (status: ExitStatus) => void,
  ) {
    this.#hupwatchPid = os.pid;
    this.commandUid = uidOf(user);
    this.#startedAt = os.clock.now();
  }

  /** Its turn has come: its age counts from now on, although nothing runs yet. */
  begin(): void {
    this.#startedAt = this.os.clock.now();
  }

  /** `child` is its leader from now on. */
  lead(child: Child): void {
    this.#child = child;
    this.#seenAtMs = orWithout(AGE, () => this.os.seenAtMs(child.pid), undefined) ?? 0;
    this.begin();
    void child.exited.then((status) => this.#end(status));
  }

  /** Those of a running generation that the hupwatch with this pid started. */
  adopt(leader: Leader, hupwatchPid: number): void {
    this.#hupwatchPid = hupwatchPid;
    this.lead(this.os.adopt(leader));
  }

  #end(status: ExitStatus): void {
    this.#exit = status;
    this[Symbol.dispose]();
    this.exited(status);
  }

  get leader(): Child | undefined {
    return this.#child;
  }

  get isLeaderAlive(): boolean {
    return this.#child !== undefined && this.#exit === undefined;
  }

  /** Whole milliseconds since its start; of one that has no process since its turn came. */
  get ageMs(): number {
    return Math.round(this.os.clock.now() - this.#startedAt);
  }

  /** When its leader was first seen, as the times of files are; 0 where that is not known. */
  get seenAtMs(): number {
    return this.#seenAtMs;
  }

  /** What a later hupwatch finds them by; without a leader until one is started. */
  get identity() {
    const child = this.#child;
    return child ? this.#identityOf(child) : { number: this.gen, hupwatchPid: this.#hupwatchPid };
  }

  #identityOf({ pid, startTime }: Child) {
    if (this.isLeaderAlive)
      this.#uid = orWithout(USER, () => this.os.uidOf({ pid, startTime }), undefined) ?? this.#uid;
    return { number: this.gen, hupwatchPid: this.#hupwatchPid, pid, startTime, uid: this.#uid };
  }

  /** The whole tree, as it is now. */
  all(): Process[] {
    const child = this.#child;
    return child ? this.os.tree(treeQueryOf(this.#identityOf(child), [this.commandUid])) : [];
  }

  pids(): number[] {
    return this.all().map(({ pid }) => pid);
  }

  /** It ended by a signal that hupwatch did not send, or before it was sent any. */
  endedByItself({ code, signal }: ExitStatus): boolean {
    if (signal !== undefined) return !this.#sent.has(signal);
    return this.#sent.size === 0 && code !== 0;
  }

  /**
   * Sends a signal to the leader alone: servers themselves pass signals on to their workers. Returns the reason if it was not sent: except
   * for WINCH, the default action of every forwarded signal is to terminate or stop the process (signal(7)).
   */
  forward(signal: NodeJS.Signals): string | undefined {
    const child = this.#child;
    if (!child) return undefined;
    const server = child.server?.();
    const { pid } = server ?? child;
    if (signal !== "SIGWINCH" && !this.os.expects(pid, signal))
      return `process ${pid} of generation ${this.gen} has no handler for it and would end by it`;
    this.#sent.add(signal);
    if (server) this.os.kill(server, signal);
    else child.kill(signal);
    return undefined;
  }

  /** Whether the server has a handler for it, or ignores it; true where that cannot be known. */
  handles(signal: NodeJS.Signals): boolean {
    const process = this.#child?.server?.() ?? this.#child;
    return process === undefined || this.os.expects(process.pid, signal);
  }

  /** Sends a stop signal to the server. A wrapper in front of it gets one when the server is gone. False if it could not be sent. */
  stop(signal: NodeJS.Signals): boolean {
    const child = this.#child;
    if (!child) return true;
    const server = child.server?.();
    const isSent = server ? this.os.kill(server, signal) : child.kill(signal);
    if (!isSent) return false;
    this.#signalled(signal, [server ?? child]);
    if (!server) return true;
    this[Symbol.dispose]();
    this.#wrapper = poll(this.os.clock, WRAPPER_LOOK_MS, () => {
      if (child.server?.()) return "more";
      child.kill("SIGTERM");
      return "enough";
    });
    return true;
  }

  /** SIGKILL was sent, so its processes may have been in the middle of anything. */
  get isKilled(): boolean {
    return this.#sent.has("SIGKILL");
  }

  signal(targets: readonly Process[], signal: NodeJS.Signals, why?: string): void {
    for (const target of targets) this.os.kill(target, signal);
    this.#signalled(signal, targets, why);
  }

  #signalled(signal: NodeJS.Signals, targets: readonly { pid: number }[], why?: string): void {
    this.#sent.add(signal);
    const pids = targets.map(({ pid }) => pid);
    if (pids.length > 0)
      this.tell({ event: "generation.signalled", generation: this.gen, signal, pids, why });
  }

  /** Ends nothing but the wait for a server behind its wrapper. */
  [Symbol.dispose](): void {
    this.#wrapper?.[Symbol.dispose]();
    this.#wrapper = undefined;
  }
}
