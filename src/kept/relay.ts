/**
 * The relay: a process that has the connections which no server has any more, and passes what their clients send on to the serving
 * generation. One loop over epoll(7), which sleeps while nothing happens. It outlives hupwatch, and ends with its last connection.
 */

import type { LetGo, RelayCounts } from "../os/keeping.ts";
import { close, SystemError, send, setBlocking } from "../os/libc.ts";
import {
  drainSignals,
  Epoll,
  EVENT,
  limitDescriptors,
  receiveWithDescriptors,
  signalsAsInput,
} from "../os/libc-kept.ts";
import { type Host, Joined } from "./joined.ts";
import { LEFT_MAX, type Left, PACKET_BYTES_MAX, type RelayNews, type RelayOrder } from "./protocol.ts";

/** RelayCounts are told so often at most. */
const TELL_MS = 100;
/** The runtime collects garbage when its event loop turns, and this one never does. */
const GARBAGE_TURNS = 5000;
/** Each takes two descriptors, and what waits for a server may hold a head. */
const CONNECTIONS_MAX = 20_000;
/** A supervisor that stops all processes of its service waits for this one, too (systemd.kill(5), KillMode=control-group). */
const STOPPING = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;

export class Relay implements Host {
  readonly #epoll = new Epoll();
  readonly #signals = signalsAsInput(STOPPING);
  readonly #watched = new Map<number, number>();
  readonly #ofFd = new Map<number, Joined>();
  readonly #all = new Set<Joined>();
  readonly #wakes = new Map<Joined, number>();
  #nextWakeMs = Number.POSITIVE_INFINITY;
  #hasOrders = true;
  #counts: Omit<RelayCounts, "waiting" | "relayed"> = { joined: 0, moved: 0, letGo: {} };
  #isChanged = false;
  #toldMs = 0;

  /** `orders`: where they come in; `news`: where what happens is told. */
  constructor(
    private readonly orders: number,
    private readonly news: number,
  ) {
    // It starts nothing that would inherit it.
    limitDescriptors(undefined);
    setBlocking(news, "nonblocking");
    this.watch(orders, EVENT.in);
    this.watch(this.#signals, EVENT.in);
  }

  /** Returns when there is nothing left to relay, and no hupwatch. It writes nothing itself: hupwatch reports what ends it. */
  run(): void {
    try {
      this.#turnUntilOver();
    } catch (bug) {
      this.#tell({ bug: `${bug}`, stack: Bun.inspect(bug) });
      throw bug;
    }
  }

  #turnUntilOver(): void {
    for (let turn = 1; this.#hasOrders || this.#all.size > 0; turn++) {
      this.#epoll.wait(this.#waitMs(), (fd, events) => {
        if (fd === this.orders) this.#obey();
        else if (fd === this.#signals) this.#onSignal();
        else this.#ofFd.get(fd)?.on(fd, events);
      });
      this.#wake();
      this.#tellCounts();
      if (turn % GARBAGE_TURNS === 0) Bun.gc(false);
    }
  }

  #waitMs(): number {
    const now = this.now();
    const until = Math.min(
      this.#nextWakeMs,
      this.#isChanged ? this.#toldMs + TELL_MS : Number.POSITIVE_INFINITY,
    );
    return until === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.min(Math.ceil(until - now), 60_000));
  }

  #wake(): void {
    const now = this.now();
    if (now < this.#nextWakeMs) return;
    const due = [...this.#wakes].filter(([, atMs]) => atMs <= now);
    this.#nextWakeMs = Number.POSITIVE_INFINITY;
    for (const [joined] of due) {
      this.#wakes.delete(joined);
      joined.onTime();
    }
    for (const atMs of this.#wakes.values()) this.#nextWakeMs = Math.min(this.#nextWakeMs, atMs);
  }

  #obey(): void {
    try {
      const { bytes, fds } = receiveWithDescriptors(this.orders, PACKET_BYTES_MAX);
      if (bytes.length === 0) throw new SystemError("recvmsg", "ECONNRESET");
      this.#carryOut(JSON.parse(Buffer.from(bytes).toString()) as RelayOrder, fds);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      // hupwatch has gone, and its service goes on.
      this.#hasOrders = false;
      this.watch(this.orders, 0);
    }
  }

  #carryOut(order: RelayOrder, fds: readonly number[]): void {
    this.#isChanged = true;
    switch (order.do) {
      case "join":
        for (const [i, left] of order.left.slice(0, LEFT_MAX).entries()) this.#take(fds[i] as number, left);
        return;
      case "move":
        for (const joined of [...this.#all]) joined.move();
        this.#tell({ moved: order.number });
        return;
      case "end":
        this.#endIdle();
    }
  }

  #onSignal(): void {
    drainSignals(this.#signals);
    this.#endIdle();
  }

  /** Those that have a server end with it. */
  #endIdle(): void {
    for (const joined of [...this.#all]) joined.end();
  }

  #take(fd: number, left: Left): void {
    if (this.#all.size >= CONNECTIONS_MAX) {
      this.#letGo("too-many");
      close(fd);
      return;
    }
    setBlocking(fd, "nonblocking");
    const joined = new Joined(fd, left, this);
    // It may be over already, e.g. where its peer is elsewhere.
    if (joined.isOver) return;
    this.#all.add(joined);
    this.#ofFd.set(fd, joined);
  }

  now(): number {
    return performance.now();
  }

  watch(fd: number, events: number): void {
    const watched = this.#watched.get(fd) ?? 0;
    if (watched === events) return;
    if (events === 0) {
      this.#epoll.remove(fd);
      this.#watched.delete(fd);
      return;
    }
    if (watched === 0) this.#epoll.add(fd, events);
    else this.#epoll.change(fd, events);
    this.#watched.set(fd, events);
  }

  wakeAt(joined: Joined, atMs: number | undefined): void {
    if (atMs === undefined) this.#wakes.delete(joined);
    else {
      this.#wakes.set(joined, atMs);
      this.#nextWakeMs = Math.min(this.#nextWakeMs, atMs);
    }
  }

  began(joined: Joined, server: number): void {
    this.#ofFd.set(server, joined);
  }

  left(server: number): void {
    this.#ofFd.delete(server);
    this.#isChanged = true;
  }

  counted(what: "joined" | "moved"): void {
    this.#counts[what] += 1;
    this.#isChanged = true;
  }

  over(joined: Joined, why: LetGo | undefined): void {
    this.#all.delete(joined);
    this.#ofFd.delete(joined.client);
    if (why === undefined) this.#isChanged = true;
    else this.#letGo(why);
  }

  #letGo(why: LetGo): void {
    this.#counts.letGo[why] = (this.#counts.letGo[why] ?? 0) + 1;
    this.#isChanged = true;
  }

  #tellCounts(): void {
    if (!this.#isChanged || this.now() < this.#toldMs + TELL_MS) return;
    // Each has its client's descriptor, and one more where it has a server: idle ones are many, and are not looked at.
    const relayed = this.#ofFd.size - this.#all.size;
    const counts = { ...this.#counts, waiting: this.#all.size - relayed, relayed };
    this.#isChanged = !this.#tell({ counts });
    this.#toldMs = this.now();
  }

  /** False where it is not read. */
  #tell(news: RelayNews): boolean {
    try {
      // A line is far shorter than what the socket takes: all of it or nothing.
      return send(this.news, Buffer.from(`${JSON.stringify(news)}\n`)) > 0;
    } catch {
      return true; // hupwatch has gone
    }
  }
}
