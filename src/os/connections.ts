/**
 * Whether processes still hold connections of a public address. Asked of the kernel's filters (sock_diag(7)) and never of a whole
 * table: one connection that is still open answers it. Only when that one is gone others are looked for, among the processes'
 * own descriptors.
 */
import { socketInodesOf } from "./descriptors.ts";
import { STATE, type TcpSocket, tcpSocket, unixSocket, visitTcp, visitUnix } from "./sockdiag.ts";

/** Where a generation accepts: a bound Unix path, or an address (4 or 16 bytes) and a port. */
export type Accepting = { path: string } | { hostBytes: Uint8Array; port: number };

export interface ConnectionWatch extends Disposable {
  /** A short look; `nextMs` is when the next one may follow, so that all together cost one hundredth of a core at most. */
  look(): { isIdle: boolean; nextMs: number };
}

/** One that was open when it was last seen. */
type Connection = { inode: number; isOpen(): boolean };

/** Longest that one look may take; the rest follows in the next. */
const SLICE_MS = 3;
const SLICE_PAUSE_MS = 10;
const SHARE = 100;
const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 1000;
/** Among so many descriptors there is most probably a connection: the kernel is asked for them before more are read. */
const FIRST_SOCKETS = 512;
/** As many are remembered: when the last of them is gone, others are looked for. */
const REMEMBERED = 64;

/** `pids` is asked only when connections are looked for anew. */
export function watchConnections(
  pids: () => readonly number[],
  places: readonly Accepting[],
): ConnectionWatch {
  let known: Connection[] = [];
  let search: Generator<void, Connection[]> | undefined;
  const look = (until: number): boolean | undefined => {
    while (known.length > 0) {
      if (known.at(-1)?.isOpen()) return false;
      known.pop();
      if (performance.now() > until) return undefined;
    }
    search ??= find(pids(), places);
    for (let slice = search.next(); ; slice = search.next()) {
      if (slice.done) {
        search = undefined;
        known = slice.value;
        return known.length === 0;
      }
      if (performance.now() > until) return undefined;
    }
  };
  return {
    look() {
      const startedAt = performance.now();
      const isIdle = look(startedAt + SLICE_MS);
      if (isIdle === undefined) return { isIdle: false, nextMs: SLICE_PAUSE_MS };
      const pause = SHARE * (performance.now() - startedAt);
      return { isIdle, nextMs: Math.min(Math.max(pause, MIN_PAUSE_MS), MAX_PAUSE_MS) };
    },
    [Symbol.dispose]: () => void search?.return([]),
  };
}

/** All that these processes hold at these places, in one go: for a person or a program that asks. */
export function countConnections(pids: readonly number[], places: readonly Accepting[]): number {
  const inodes = new Set<number>();
  for (const pid of pids) for (const _ of socketInodesOf(pid, inodes));
  const search = connectionsAmong(inodes, places, Number.POSITIVE_INFINITY);
  for (let slice = search.next(); ; slice = search.next()) if (slice.done) return slice.value.length;
}

function* find(pids: readonly number[], places: readonly Accepting[]): Generator<void, Connection[]> {
  const inodes = new Set<number>();
  let asked = 0;
  for (const pid of pids)
    for (const _ of socketInodesOf(pid, inodes)) {
      yield;
      if (asked > 0 || inodes.size < FIRST_SOCKETS) continue;
      asked = inodes.size;
      const found = yield* connectionsAmong(inodes, places);
      if (found.length > 0) return found;
    }
  return inodes.size === asked ? [] : yield* connectionsAmong(inodes, places);
}

function* connectionsAmong(
  inodes: ReadonlySet<number>,
  places: readonly Accepting[],
  atMost = REMEMBERED,
): Generator<void, Connection[]> {
  const found: Connection[] = [];
  const keep = (connection: Connection) => found.length < atMost && found.push(connection);
  const paths = new Set(places.flatMap((place) => ("path" in place ? [place.path.replace(/^@/, "\0")] : [])));
  if (paths.size > 0)
    yield* visitUnix(["established"], ["name"], (socket) => {
      const { inode } = socket;
      // An accepted connection carries the name that its listener was bound to.
      if (inodes.has(inode) && paths.has(socket.name ?? ""))
        keep({ inode, isOpen: () => unixSocket(inode)?.state === STATE.established });
    });
  const ports = new Set(places.flatMap((place) => ("port" in place ? [place.port] : [])));
  // A dual-stack listener's connections stand in either family.
  for (const port of ports)
    for (const family of ["inet", "inet6"] as const)
      yield* visitTcp(family, port, ["established"], (socket) => {
        const { inode } = socket;
        if (!inodes.has(inode) || found.length >= atMost) return;
        const { ends } = socket;
        keep({ inode, isOpen: () => isEstablished(tcpSocket(family, ends), inode) });
      });
  return found;
}

/** Its ends may belong to another one by now. */
const isEstablished = (socket: TcpSocket | undefined, inode: number): boolean =>
  socket?.inode === inode && socket.state === STATE.established;
