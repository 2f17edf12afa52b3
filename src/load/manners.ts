/** How the clients of each kind behave: when they send, how they read, what they do with a connection. Data alone. */
import type { Kind } from "./plan.ts";

export interface Manner {
  /** Its connections carry more than one request. */
  reuses?: true;
  /** Carries a body, whose id, length and checksum the answer must name. */
  posts?: true;
  /** Connects and says nothing for `lingerMs`, or until it is told to. */
  silent?: true;
  /** Its request takes `lingerMs` to be sent, a byte or a few at a time. */
  sendsSlowly?: true;
  /** Reads nothing for `lingerMs`, so that the server's send buffer is full. */
  readsSlowly?: true;
  /** Closes its side behind the request (shutdown(2)): half a connection is left for the answer. */
  halfCloses?: true;
  /** One long exchange of `lingerMs`; a server that ends it early cuts it. */
  streams?: "chunks" | "websocket";
}

export const MANNERS: Record<Kind, Manner> = {
  fresh: {},
  keepalive: { reuses: true },
  post: { reuses: true, posts: true },
  slow: {},
  upload: { posts: true },
  late: { silent: true },
  "slow-send": { posts: true, sendsSlowly: true },
  "slow-read": { readsSlowly: true },
  "half-close": { halfCloses: true },
  sse: { streams: "chunks" },
  websocket: { streams: "websocket" },
};

/** Whether it takes its time on purpose: what it waits says nothing about the server. */
export const lingers = ({ silent, sendsSlowly, readsSlowly, streams }: Manner): boolean =>
  silent === true || sendsSlowly === true || readsSlowly === true || streams !== undefined;
