/** The connections of a run: kept ones wait in line for their next request, closed ones for their next socket. */
import { Connection, type ConnectionOwner } from "./connection.ts";
import type { Address } from "./target.ts";

/** Compact the line when so many of its front places are empty. */
const COMPACT_AT = 1024;

export class Pool {
  /** Every connection whose events can still matter. */
  #all: Connection[] = [];
  /** Longest idle first, so that each gets its turn. One whose peer closed it meanwhile is told by its state. */
  #idle: Connection[] = [];
  #idleFrom = 0;
  readonly #spare: Connection[] = [];

  constructor(
    private readonly address: Address,
    private readonly owner: ConnectionOwner,
  ) {}

  /** An open connection if one is idle, else a closed one. */
  idle(): Connection {
    for (let next = this.#shift(); next; next = this.#shift()) {
      if (next.state === "idle") return next;
      this.#spare.push(next);
    }
    return this.closed();
  }

  closed(): Connection {
    return this.#spare.pop() ?? this.#create();
  }

  /** Its request is over. */
  give(connection: Connection): void {
    switch (connection.state) {
      case "idle":
        this.#idle.push(connection);
        return;
      case "closed":
        this.#spare.push(connection);
        return;
      default:
        this.#all = this.#all.filter((one) => one !== connection);
    }
  }

  /** Ends those whose request has been under way since before `limitMs`. */
  timeOut(limitMs: number): void {
    // A copy: ending one may take it out of the list.
    for (const connection of [...this.#all])
      if (
        (connection.state === "busy" || connection.state === "connecting") &&
        connection.exchange.startedMs + connection.exchange.lingerMs < limitMs
      )
        connection.timeOut();
  }

  /** Of those that are connected and silent, so many of every hundred begin to speak, the longest silent first. */
  release(percent: number): void {
    const silent = this.#all.filter((one) => one.state === "silent");
    for (const one of silent.slice(0, Math.ceil((silent.length * percent) / 100))) one.speak();
  }

  forEach(look: (connection: Connection) => void): void {
    this.#all.forEach(look);
  }

  closeAll(): void {
    for (const connection of this.#all) connection.close();
  }

  #shift(): Connection | undefined {
    if (this.#idleFrom >= this.#idle.length) return undefined;
    const first = this.#idle[this.#idleFrom++];
    if (this.#idleFrom >= COMPACT_AT) {
      this.#idle = this.#idle.slice(this.#idleFrom);
      this.#idleFrom = 0;
    }
    return first;
  }

  #create(): Connection {
    const connection = new Connection(this.address, this.owner);
    this.#all.push(connection);
    return connection;
  }
}
