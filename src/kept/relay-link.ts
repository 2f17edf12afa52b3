/** hupwatch's end of its relay: starts it when it is needed, hands connections to it, and hears its counts. */

import { tellBug } from "../os/aid.ts";
import { realClock } from "../os/clock.ts";
import { NO_COUNTS, type RelayCounts } from "../os/keeping.ts";
import { close } from "../os/libc.ts";
import {
  sendWithDescriptors,
  setSendBuffer,
  setSendTimeout,
  socketPair,
  startProgram,
} from "../os/libc-kept.ts";
import { LEFT_MAX, type Left, PACKET_BYTES_MAX, type RelayNews, type RelayOrder } from "./protocol.ts";

/** A stop signal does not wait longer for a relay that does not answer. */
const MOVE_MS = 2000;
/** Far longer than it takes to start: a relay that was stopped (SIGSTOP) must not stop hupwatch. */
const SEND_MS = 10_000;

/** How the relay is started. */
export interface RelayProgram {
  words: readonly string[];
  env: readonly string[];
  /** Signals that must not end it. */
  blocked: Parameters<typeof startProgram>[3];
  /** What it reads and writes. */
  standard: () => { fds: number[] } & Disposable;
}

export class RelayLink implements Disposable {
  /** An object, since another relay's may have the same number. */
  #orders: { fd: number } | undefined;
  #counts = NO_COUNTS;
  #moves = 0;
  readonly #moved = new Map<number, () => void>();

  constructor(private readonly program: RelayProgram) {}

  get counts(): RelayCounts {
    return this.#counts;
  }

  /** They are the relay's from now on, whatever becomes of it. Throws SystemError where it cannot be started. */
  join(connections: readonly { fd: number; left: Left }[]): void {
    try {
      for (let at = 0; at < connections.length; at += LEFT_MAX) {
        const some = connections.slice(at, at + LEFT_MAX);
        const order: RelayOrder = { do: "join", left: some.map(({ left }) => left) };
        this.#order(
          order,
          some.map(({ fd }) => fd),
        );
      }
    } finally {
      for (const { fd } of connections) close(fd);
    }
  }

  /** Calls `then` when no new request is passed to the generation that was replaced: at once where nothing is relayed. */
  move(then: () => void): void {
    if (this.#orders === undefined) {
      then();
      return;
    }
    const number = ++this.#moves;
    const late = realClock.after(MOVE_MS, () => this.#hasMoved(number));
    this.#moved.set(number, () => {
      late[Symbol.dispose]();
      then();
    });
    try {
      this.#order({ do: "move", number }, []);
    } catch {
      this.#hasMoved(number);
    }
  }

  #hasMoved(number: number): void {
    const then = this.#moved.get(number);
    this.#moved.delete(number);
    then?.();
  }

  /** There is no service any more. */
  end(): void {
    if (this.#orders === undefined) return;
    try {
      this.#order({ do: "end" }, []);
    } catch {
      // It has gone, and its connections with it.
    }
  }

  #order(order: RelayOrder, fds: readonly number[]): void {
    this.#orders ??= this.#start();
    const orders = this.#orders;
    try {
      sendWithDescriptors(orders.fd, Buffer.from(JSON.stringify(order)), fds);
    } catch (error) {
      this.#lose(orders);
      throw error;
    }
  }

  #start(): { fd: number } {
    const [ours, theirs] = socketPair("packets");
    const [ourNews, theirNews] = socketPair("stream");
    try {
      using standard = this.program.standard();
      const { words, env, blocked } = this.program;
      startProgram([...words, "3", "4"], env, [...standard.fds, theirs, theirNews], blocked);
    } catch (error) {
      for (const fd of [ours, ourNews]) close(fd);
      throw error;
    } finally {
      for (const fd of [theirs, theirNews]) close(fd);
    }
    setSendBuffer(ours, 16 * PACKET_BYTES_MAX);
    setSendTimeout(ours, SEND_MS);
    const orders = { fd: ours };
    this.#hear(ourNews, orders);
    return orders;
  }

  #hear(news: number, orders: { fd: number }): void {
    let line = "";
    const socket = {
      data: (_: unknown, bytes: Buffer) => {
        const lines = (line + bytes.toString()).split("\n");
        line = lines.pop() ?? "";
        for (const whole of lines) this.#on(JSON.parse(whole) as RelayNews);
      },
      error: () => {},
      close: () => this.#lose(orders),
    };
    void Bun.connect({ fd: news, socket } as never);
  }

  #on(news: RelayNews): void {
    if ("moved" in news) this.#hasMoved(news.moved);
    else if ("bug" in news)
      tellBug(Object.assign(new Error(`the relay has ended: ${news.bug}`), { stack: news.stack }));
    else this.#counts = news.counts;
  }

  /** It has ended, and the next connection gets another one. */
  #lose(orders: { fd: number }): void {
    if (this.#orders !== orders) return;
    close(orders.fd);
    this.#orders = undefined;
    this.#counts = { ...this.#counts, waiting: 0, relayed: 0 };
    for (const number of [...this.#moved.keys()]) this.#hasMoved(number);
  }

  /** Lets go of it. It goes on as long as it has a connection. */
  [Symbol.dispose](): void {
    const orders = this.#orders;
    this.#orders = undefined;
    if (orders !== undefined) close(orders.fd);
  }
}
