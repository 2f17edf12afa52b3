/**
 * `GET /events`: what happens, as server-sent events (HTML standard, 9.2), to every subscriber. Each has a number for
 * its id; `?since=N` first repeats those after N, as far as they are kept, so that a client that comes late or comes back
 * misses none: with `since=0` it has them from the start of hupwatch.
 */

import { recordOf } from "../events/events.ts";
import type { Consume } from "../events/publish.ts";
import { type Clock, poll } from "../os/clock.ts";
import { json } from "../text.ts";
import type { Connection } from "./connection.ts";

/** Tells proxies and us that a listener is still there; only while there is one. */
const HEARTBEAT_MS = 15_000;
/** Of the events that can be repeated, in characters; the oldest go first. */
const KEPT_MAX = 64 * 1024;

export class EventStream implements Disposable {
  readonly #listeners = new Set<Connection>();
  #heartbeat: Disposable | undefined;
  #last = 0;
  /** The newest events, oldest first, up to number `#last`. */
  readonly #kept: string[] = [];
  #keptLength = 0;

  constructor(private readonly clock: Clock) {}

  readonly consume: Consume = (_, told) => {
    const record = recordOf(told, process.pid);
    this.#last += 1;
    const text = `id: ${this.#last}\nevent: ${record.event}\ndata: ${json(record)}\n\n`;
    this.#keep(text);
    this.#send(text);
  };

  get size(): number {
    return this.#listeners.size;
  }

  /** `since`: the number of the last event that the client has; undefined: it wants only those to come. */
  add(connection: Connection, since: number | undefined): void {
    this.#listeners.add(connection);
    connection.onClose(() => this.#remove(connection));
    connection.beginStream("text/event-stream");
    // Bytes at once: a client then knows that it misses nothing from here on.
    connection.push(": listening\n\n");
    if (since !== undefined) connection.push(this.#after(since).join(""));
    this.#heartbeat ??= poll(this.clock, HEARTBEAT_MS, () => {
      this.#send(":\n\n");
      return "more";
    });
  }

  #keep(text: string): void {
    this.#kept.push(text);
    this.#keptLength += text.length;
    while (this.#keptLength > KEPT_MAX) this.#keptLength -= this.#kept.shift()?.length ?? 0;
  }

  #after(number: number): string[] {
    const first = this.#last - this.#kept.length;
    return this.#kept.slice(Math.max(0, number - first));
  }

  #send(text: string): void {
    for (const connection of [...this.#listeners]) connection.push(text);
  }

  #remove(connection: Connection): void {
    this.#listeners.delete(connection);
    if (this.#listeners.size > 0) return;
    this.#heartbeat?.[Symbol.dispose]();
    this.#heartbeat = undefined;
  }

  [Symbol.dispose](): void {
    for (const connection of [...this.#listeners]) connection.end();
  }
}
