/**
 * Takes over the connections of a generation that stops, one by one as its processes let go of them:
 *
 *     move the relay ─▶ take duplicates ─▶ hold and prove ─▶ the stop signal ─▶ each that no process has any more is handed to the relay
 *
 * Its processes go on with what they have: they read, answer and close, and a close(2) of theirs only drops one of two references.
 * Nothing is polled: the kernel tells how many descriptors a process has, and only when that has changed they are read.
 */
import { statSync } from "node:fs";
import { lacks, tellBug } from "../os/aid.ts";
import type { Clock } from "../os/clock.ts";
import { connectionsOf, type FoundConnection } from "../os/connections.ts";
import { visitSockets } from "../os/descriptors.ts";
import type { Keeping, KeepingOwner, Kept } from "../os/keeping.ts";
import { close } from "../os/libc.ts";
import type { Leader } from "../os/procfs.ts";
import { Origins } from "./back-end.ts";
import { IDLE_MS } from "./joined.ts";
import type { OwnLimit } from "./own-limit.ts";
import type { Left } from "./protocol.ts";
import type { RelayLink } from "./relay-link.ts";
import { Taken } from "./taken.ts";

/** Longest that one slice of work may take. */
const SLICE_MS = 3;
/** A stop signal waits no longer for those that are in the middle of something, if they were looked at often enough by then. */
const PROVE_MS = 500;
const PROVE_LOOKS = 20;
const PROVE_LOOK_MS = 10;
/** All looks together cost one tenth of a core at most. */
const PROOF_SHARE = 10;
/** Looks at how many descriptors processes have. */
const LOOK_MS = 5;
const LATE_LOOK_MS = 50;
/** Most servers have closed what is idle by then. */
const EARLY_MS = 3000;
/** Whatever the numbers say. */
const FULL_LOOK_MS = 500;
/** Their server is woken again for what has come, if it has not closed them: a client waits. */
const HOLD_MS = 300;
/** A server closes at once what is idle, and finishes the rest: what it closes later may be in the middle of a request. */
const PROMPT_MS = 3000;
/** Where nothing tells an answer that ends by closing from one that does not, its client may be silent for so long. */
const GRACE_MS = 1000;

const RELAY = {
  what: "the relay, a process of hupwatch's own",
  loss: "connections that clients keep are closed as the server means it",
};

export interface Surroundings {
  clock: Clock;
  relay: RelayLink;
  isRunning(process: Leader): boolean;
  takeDescriptor(pid: number, fd: number): number | undefined;
  isAnyPeer: boolean;
  /** That it speaks HTTP/1 without TLS does not matter, or is known by now. */
  isSpeechSure(): boolean;
  /** Something else was heard there, too: each connection has to show what it speaks. */
  isMixed(): boolean;
  /** A client was seen to speak it, or something else. */
  heard(speech: "http" | "other"): void;
  /** No client may be silent for longer, in milliseconds. */
  patienceMs: number;
  limit: OwnLimit;
  /** The kernel does not hand them out. */
  refused(connections: number): void;
}

export class Adoption implements Keeping {
  readonly #taken = new Map<number, Taken>();
  readonly #origins: Origins;
  #timer: Disposable | undefined;
  #counts: Kept = { kept: 0, closed: 0, others: 0 };
  #signalledMs = 0;
  /** All that are taken were their server's then. */
  #ownedMs = 0;
  #fullLookMs = 0;
  #nextProofMs = 0;
  #descriptors: string | undefined;
  #leaderEnd: "unknown" | "clean" | "crash" = "unknown";
  #isOver = false;
  #hasRaised = false;
  /** The stop signal may be sent. */
  #follow: () => void = () => {};
  #goesOn: () => void = () => {};

  constructor(
    private readonly owner: KeepingOwner,
    private readonly around: Surroundings,
  ) {
    this.#origins = new Origins(around.isAnyPeer);
  }

  begin(then: () => void, goesOn = () => {}): void {
    this.#follow = then;
    this.#goesOn = goesOn;
    this.#orAbandon(() =>
      this.around.relay.move(() => {
        if (this.#isOver) then();
        else this.#orAbandon(() => this.#take());
      }),
    );
  }

  #take(): void {
    this.around.limit.raise();
    this.#hasRaised = true;
    const places = this.owner.ways.map(({ place }) => place);
    this.#inSlices(this.#takeAll(connectionsOf(this.owner.processes.pids(), places)), () =>
      this.#prove([...this.#taken.values()], { untilMs: this.#now + PROVE_MS, looks: PROVE_LOOKS }),
    );
  }

  *#takeAll(search: Generator<void, FoundConnection[]>): Generator<void, void> {
    const found = yield* search;
    let refused = 0;
    for (const { inode, pid, fd, place } of found) {
      const own = this.around.takeDescriptor(pid, fd);
      if (own === undefined) refused += 1;
      else this.#have(inode, own, pid, this.owner.ways.find((way) => way.place === place)?.path);
      yield;
    }
    this.#counts.others += refused;
    // One that has ended meanwhile cannot be had either.
    if (refused > 0 && refused === found.length) this.around.refused(refused);
    // Only then: taking ten thousand takes its time, and what is held waits.
    for (const taken of this.#taken.values()) {
      taken.hold();
      yield;
    }
  }

  /** One whose client nothing may stand for is its server's alone: its client sees the end when its server closes it. */
  #have(inode: number, fd: number, pid: number, path: string | undefined): void {
    if (this.#origins.whyNotFor(fd, path) !== undefined) {
      this.#counts.others += 1;
      close(fd);
      return;
    }
    this.#taken.set(inode, new Taken(inode, fd, pid, path));
  }

  /** Until each stands between two messages, or the time is up: those that do not are their server's alone. */
  #prove(unproven: readonly Taken[], patience: { untilMs: number; looks: number }): void {
    const open = unproven.filter((taken) => taken.isTcp && !taken.prove());
    const { untilMs, looks } = patience;
    // On a machine that is overloaded the time is over after a few looks.
    if (open.length > 0 && (this.#now < untilMs || looks > 0) && !this.#isOver) {
      this.#after(PROVE_LOOK_MS, () => this.#prove(open, { untilMs, looks: looks - 1 }));
      return;
    }
    this.#listen(this.#taken.values());
    for (const taken of open) taken.letGo();
    this.#giveBack();
  }

  /**
   * What was not seen to speak HTTP/1 will not be kept, so its server has it as if nothing had been: it reads what has waited, before the stop
   * signal makes it close what is idle.
   */
  #giveBack(): void {
    const given = [...this.#taken.values()].filter((taken) => !this.#isSpoken(taken));
    for (const taken of given) taken.letGo();
    const untilMs = this.#now + PROVE_MS;
    const read = (unread: readonly Taken[]) => {
      const left = unread.filter(({ hasUnread }) => hasUnread);
      if (left.length > 0 && this.#now < untilMs) {
        this.#after(PROVE_LOOK_MS, () => read(left));
        return;
      }
      this.#close(given);
      this.#signal();
    };
    read(given);
  }

  #signal(): void {
    this.#signalledMs = this.#ownedMs = this.#fullLookMs = this.#now;
    this.#descriptors = this.#countDescriptors();
    this.#follow();
    if (!this.#isOver) this.#after(LOOK_MS, () => this.#watch());
  }

  #watch(): void {
    if (this.#taken.size === 0) return;
    const descriptors = this.#countDescriptors();
    const isDue = this.#now - this.#fullLookMs > FULL_LOOK_MS;
    if (descriptors !== undefined && descriptors === this.#descriptors && !isDue) {
      this.#lookAgain(0);
      return;
    }
    const from = this.#now;
    this.#descriptors = descriptors;
    this.#fullLookMs = from;
    this.#inSlices(this.#handOver(), () => this.#lookAgain(this.#now - from));
  }

  /** All that are left were their server's a moment ago. A look that took long is not followed at once by another one. */
  #lookAgain(tookMs: number): void {
    if (this.#isOver) return;
    this.#ownedMs = this.#now - tookMs;
    this.#proveAgain();
    const pauseMs = this.#now - this.#signalledMs < EARLY_MS ? LOOK_MS : LATE_LOOK_MS;
    this.#after(Math.max(pauseMs, tookMs), () => this.#watch());
  }

  /** Those that were in the middle of something are answered meanwhile. */
  #proveAgain(): void {
    if (this.#now < this.#nextProofMs) return;
    const from = performance.now();
    const mayHold = this.#now - this.#signalledMs < HOLD_MS;
    for (const taken of this.#taken.values()) {
      if (!taken.isSettled) taken.prove(mayHold);
      // What has come meanwhile is read by the server that has it; if it reads.
      if (!mayHold && taken.isHeld && taken.hasUnread) taken.letGo();
    }
    this.#nextProofMs = this.#now + Math.max(PROVE_LOOK_MS, PROOF_SHARE * (performance.now() - from));
  }

  /** How many each process has, which is the size of its directory (Linux 6.2); undefined where that is not told. */
  #countDescriptors(): string | undefined {
    const pids = new Set([...this.#taken.values()].map(({ pid }) => pid));
    const sizes = [...pids].map((pid) => statSync(`/proc/${pid}/fd`, { throwIfNoEntry: false })?.size);
    return sizes.includes(0) ? undefined : sizes.join();
  }

  /** Those that no process of the generation has any more. */
  *#handOver(): Generator<void, void> {
    const owned = new Set<number>();
    for (const pid of this.owner.processes.pids()) yield* visitSockets(pid, (inode) => void owned.add(inode));
    this.#settle([...this.#taken.values()].filter(({ inode }) => !owned.has(inode)));
  }

  /** What has come while they were held may say what they speak. */
  #listen(some: Iterable<Taken>): void {
    const heard = new Set([...some].map(({ speech }) => speech));
    for (const speech of ["http", "other"] as const) if (heard.has(speech)) this.around.heard(speech);
  }

  #settle(ended: readonly Taken[]): void {
    const joined: { taken: Taken; left: Left }[] = [];
    const { isKilled } = this.owner.processes;
    this.#listen(ended);
    for (const taken of ended) {
      if (this.#isCrashPossible(taken)) continue;
      taken.letGo();
      const left = isKilled ? undefined : this.#leftOf(taken);
      if (left) joined.push({ taken, left });
      else this.#close([taken]);
    }
    if (joined.length > 0) this.#join(joined);
  }

  /** Without a relay (no process may be started, no memory) they are closed, and all else goes on. */
  #join(joined: readonly { taken: Taken; left: Left }[]): void {
    for (const { taken } of joined) this.#taken.delete(taken.inode);
    try {
      this.around.relay.join(joined.map(({ taken: { fd }, left }) => ({ fd, left })));
      this.#counts.kept += joined.length;
    } catch (error) {
      this.#counts.closed += joined.length;
      lacks(RELAY, error);
    }
  }

  /** How its owner has ended is not known yet. */
  #isCrashPossible({ pid }: Taken): boolean {
    const { leader } = this.owner.processes;
    return pid === leader?.pid && this.#leaderEnd === "unknown" && !this.around.isRunning(leader);
  }

  #leftOf(taken: Taken): Left | undefined {
    const { verdict, path, isTcp } = taken;
    if (verdict === "doubtful" || !this.#isSpoken(taken)) return undefined;
    // When it was closed is not known, only when it was not yet: this look may come late.
    const isLate = this.#ownedMs - this.#signalledMs > PROMPT_MS;
    if (verdict === "between" && isLate) return undefined;
    const { isAnyPeer } = this.around;
    const patienceMs = Math.min(isTcp ? IDLE_MS : GRACE_MS, this.around.patienceMs);
    return { path, isFresh: verdict === "fresh", patienceMs, isAnyPeer };
  }

  /** On a fresh one nothing was said, and whatever comes is passed on. */
  #isSpoken({ verdict, speech }: Taken): boolean {
    if (verdict === "fresh") return true;
    if (speech === "other" || speech === "upgraded") return false;
    return this.around.isMixed() ? speech === "http" : this.around.isSpeechSure();
  }

  /** A bug in what they are counted as leaves none open. */
  #close(some: readonly Taken[]): void {
    for (const taken of some) this.#taken.delete(taken.inode);
    try {
      for (const taken of some) this.#count(taken);
    } catch (bug) {
      tellBug(bug);
    }
    for (const taken of some) taken.close();
  }

  #count(taken: Taken): void {
    const isTheirs = (taken.verdict === "doubtful" && taken.isAnswered) || !this.#isSpoken(taken);
    this.#counts[isTheirs ? "others" : "closed"] += 1;
  }

  ended(isCrash: boolean): void {
    this.#leaderEnd = isCrash ? "crash" : "clean";
    if (isCrash) this[Symbol.dispose]();
    else this.#fullLookMs = Number.NEGATIVE_INFINITY;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#timer?.[Symbol.dispose]();
    const left = [...this.#taken.values()];
    // All of them before anything else, which could fail.
    for (const taken of left) taken.letGo();
    this.#close(left);
    if (this.#hasRaised) this.around.limit.restore();
    this.#hasRaised = false;
  }

  finish(): Kept {
    this.#timer?.[Symbol.dispose]();
    this.#orAbandon(() => this.#settle([...this.#taken.values()]));
    this[Symbol.dispose]();
    return this.#counts;
  }

  get #now(): number {
    return this.around.clock.now();
  }

  #after(ms: number, act: () => void): void {
    this.#timer = this.around.clock.after(ms, () => this.#orAbandon(act));
  }

  /** A bug here neither keeps the old generation, nor leaves it deaf. */
  #orAbandon(act: () => void): void {
    try {
      act();
    } catch (bug) {
      tellBug(bug);
      this.#follow();
      this[Symbol.dispose]();
    }
  }

  #inSlices(work: Generator<void, void>, then: () => void): void {
    const slice = () => {
      const until = performance.now() + SLICE_MS;
      while (!this.#isOver && performance.now() < until) {
        if (!work.next().done) continue;
        then();
        return;
      }
      this.#goesOn();
      if (!this.#isOver) this.#after(0, slice);
      else then();
    };
    slice();
  }
}
