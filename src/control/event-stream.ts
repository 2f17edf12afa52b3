/** `GET /events`: what happens, as server-sent events (HTML standard, 9.2), to everybody who listens. */

import { recordOf } from "../events/events.ts";
import type { Tell } from "../events/telling.ts";
import { type Clock, poll } from "../os/clock.ts";
import type { Connection } from "./connection.ts";

/** Tells proxies and us that a listener is still there; only while there is one. */
const HEARTBEAT_MS = 15_000;

export class EventStream implements Disposable {
  readonly #listeners = new Set<Connection>();
  #heartbeat: Disposable | undefined;

  constructor(private readonly clock: Clock) {}

  readonly tell: Tell = (happening) => {
    if (this.#listeners.size === 0) return;
    const record = recordOf(happening, process.pid);
    this.#send(`event: ${record.event}\ndata: ${JSON.stringify(record)}\n\n`);
  };

  add(connection: Connection): void {
    this.#listeners.add(connection);
    connection.onClose(() => this.#remove(connection));
    connection.beginStream("text/event-stream");
    // Bytes at once: a client then knows that it misses nothing from here on.
    connection.push(": listening\n\n");
    this.#heartbeat ??= poll(this.clock, HEARTBEAT_MS, () => {
      this.#send(":\n\n");
      return "more";
    });
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
