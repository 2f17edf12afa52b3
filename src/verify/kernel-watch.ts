/**
 * What only the kernel knows of the instants at which a swap can harm a client: connections that have not been accepted when
 * new ones are led elsewhere, and accepted ones with unread bytes when their generation is asked to stop.
 */
import { boundFileOf, type Place, type SocketRow, socketsAt } from "../os/socket-table.ts";
import { heldBelow } from "./stock.ts";
import type { Moment } from "./subject.ts";

export interface KernelSightings {
  /** Connections in the old generation's accept queue at the flip. */
  queuedAtFlip: number;
  /** Connections of the old generation with bytes that it had not read at its stop signal. */
  unreadAtStop: number;
}

export class KernelWatch {
  readonly seen: KernelSightings = { queuedAtFlip: 0, unreadAtStop: 0 };
  /** Where the generation listens that is to be replaced. A Unix path leads elsewhere after the flip. */
  #old: Place;
  #listeners: ReadonlySet<number> = new Set();

  constructor(private readonly place: Place) {
    this.#old = place;
  }

  /** A swap is about to be asked for. */
  begin(): void {
    const file = "path" in this.place ? boundFileOf(this.place.path) : undefined;
    this.#old = file ? { file } : this.place;
    this.#listeners = new Set(this.#rows((row) => row.listening).map((row) => row.inode));
  }

  at(moment: Moment, leader: number | undefined): void {
    if (moment === "flipped")
      for (const { inode, waiting } of this.#rows((row) => row.listening))
        if (this.#listeners.has(inode)) this.seen.queuedAtFlip += waiting;
    if (moment !== "stopping" || leader === undefined) return;
    const unread = this.#rows((row) => !row.listening && row.waiting > 0 && row.inode !== 0);
    if (unread.length > 0)
      this.seen.unreadAtStop += heldBelow(leader, new Set(unread.map((row) => row.inode))).size;
  }

  #rows(which: (row: SocketRow) => boolean): SocketRow[] {
    return socketsAt(this.#old)?.filter(which) ?? [];
  }
}
