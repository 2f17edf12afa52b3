/** What hupwatch and its relay say to each other: orders with descriptors as packets, news as lines of JSON. */

import type { RelayCounts } from "../os/keeping.ts";

/** A connection that no server has any more; its descriptor comes beside it. */
export interface Left {
  /** Where the serving generation is reached; of TCP undefined: where the client connected to. */
  path: string | undefined;
  /** Nothing was ever read from it or sent to it by its server: it is joined whatever it speaks. */
  isFresh: boolean;
  /** So long its client may be silent, in milliseconds; then it is closed. */
  patienceMs: number;
  /** The app may see another peer than this client. */
  isAnyPeer: boolean;
}

export type RelayOrder =
  | { do: "join"; left: readonly Left[] }
  /** New requests go to another generation: `moved` is told when none is passed to the one before any more, but for what is under way. */
  | { do: "move"; number: number }
  /** There is no service any more. */
  | { do: "end" };

/** `bug`: what has ended it. */
export type RelayNews = { counts: RelayCounts } | { moved: number } | { bug: string; stack: string };

/** As many descriptors go in one packet (SCM_MAX_FD of the kernel is 253). */
export const LEFT_MAX = 200;
export const PACKET_BYTES_MAX = 64 * 1024;
