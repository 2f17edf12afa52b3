/**
 * Whether processes still have connections of a public address. The kernel filters them (sock_diag(7)), so no whole table is read: one
 * connection that is still open is enough. Only when that one is gone, others are sought among the processes' own descriptors.
 */
import { hasSocket, visitSockets } from "./descriptors.ts";
import { STATE, type TcpSocket, tcpSocket, visitTcp, visitUnix } from "./sockdiag.ts";

/** Where a generation accepts: a bound Unix path, or an address (4 or 16 bytes) and a port. */
export type Accepting = { path: string } | { hostBytes: Uint8Array; port: number };

export interface ConnectionWatch extends Disposable {
  /** A short look; `nextMs` says when the next one may follow, so that all looks together cost at most one hundredth of a core. */
  look(): { isIdle: boolean; nextMs: number };
}

/** One that was open when it was last seen. */
type Connection = { inode: number; isOpen(): boolean };

/** Longest that one look may take; the rest follows in the next. */
const SLICE_MS = 3;
const SLICE_PAUSE_MS = 10;
const SHARE = 100;
const MIN_PAUSE_MS = 100;
/** While many are left: the last one is far. */
const MANY_PAUSE_MS = 400;
const MAX_PAUSE_MS = 1000;
/** Among so many descriptors there is most probably a connection: the kernel is asked for them before more are read. */
const FIRST_SOCKETS = 512;
/** This many are remembered; when the last of them is gone, others are sought. */
const REMEMBERED = 64;

/** `pids` is called only when connections are sought anew. */
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
      const atLeast = known.length < REMEMBERED ? MIN_PAUSE_MS : MANY_PAUSE_MS;
      return { isIdle, nextMs: Math.min(Math.max(pause, atLeast), MAX_PAUSE_MS) };
    },
    [Symbol.dispose]: () => void search?.return([]),
  };
}

/** All connections of these processes at these places, in one go: for `status`. */
export function countConnections(pids: readonly number[], places: readonly Accepting[]): number {
  const owners: Owners = new Map();
  for (const pid of pids) for (const _ of ownersAmong(pid, owners));
  const search = connectionsAmong(owners, places, Number.POSITIVE_INFINITY);
  for (let slice = search.next(); ; slice = search.next()) if (slice.done) return slice.value.length;
}

/** A process that has the socket with that inode, and by which number. */
type Owners = Map<number, { pid: number; fd: number }>;

const ownersAmong = (pid: number, owners: Owners): Generator<void, void> =>
  visitSockets(pid, (inode, fd) => void owners.set(inode, { pid, fd }));

function* find(pids: readonly number[], places: readonly Accepting[]): Generator<void, Connection[]> {
  const owners: Owners = new Map();
  let asked = 0;
  for (const pid of pids)
    for (const _ of ownersAmong(pid, owners)) {
      yield;
      if (asked > 0 || owners.size < FIRST_SOCKETS) continue;
      asked = owners.size;
      const found = yield* connectionsAmong(owners, places);
      if (found.length > 0) return found;
    }
  return owners.size === asked ? [] : yield* connectionsAmong(owners, places);
}

/** The kernel's table is read no further than to the last one that is wanted: it has the sockets of all others, too. */
function* connectionsAmong(
  owners: Owners,
  places: readonly Accepting[],
  atMost = REMEMBERED,
): Generator<void, Connection[]> {
  const found: Connection[] = [];
  const table = visitConnections(places, owners, ({ inode }, _, tcp) => {
    const open = tcp && { family: tcp.family, ends: tcp.socket.ends };
    const owner = owners.get(inode);
    // The kernel finds a TCP connection by its ends, but a Unix one only by a walk through all of the machine. That one is open until its
    // owner closes it, whatever its client does.
    const isOpen = open
      ? () => isEstablished(tcpSocket(open.family, open.ends), inode)
      : () => owner !== undefined && hasSocket(owner.pid, owner.fd, inode);
    found.push({ inode, isOpen });
  });
  for (const _ of table) {
    if (found.length >= atMost) break;
    yield;
  }
  return found.slice(0, atMost);
}

export interface FoundConnection {
  inode: number;
  /** A process that has it, and by which number. */
  pid: number;
  fd: number;
  place: Accepting;
}

/** All that these processes hold of these places, some hundred a slice. */
export function* connectionsOf(
  pids: readonly number[],
  places: readonly Accepting[],
): Generator<void, FoundConnection[]> {
  const owners: Owners = new Map();
  for (const pid of pids) yield* ownersAmong(pid, owners);
  const found: FoundConnection[] = [];
  yield* visitConnections(places, owners, ({ inode }, place) => {
    const owner = owners.get(inode);
    if (owner) found.push({ inode, ...owner, place });
  });
  return found;
}

interface Tcp {
  family: "inet" | "inet6";
  socket: TcpSocket;
}

/** What has no owner here is passed over by its number alone: most sockets of a large machine are others'. */
function* visitConnections(
  places: readonly Accepting[],
  owners: Owners,
  visit: (socket: { readonly inode: number }, place: Accepting, tcp?: Tcp) => void,
): Generator<void, void> {
  const paths = new Map(
    places.flatMap((place) => ("path" in place ? [[place.path.replace(/^@/, "\0"), place] as const] : [])),
  );
  if (paths.size > 0)
    yield* visitUnix(["established"], ["name"], (socket) => {
      if (!owners.has(socket.inode)) return;
      // An accepted connection carries the name that its listener was bound to.
      const place = paths.get(socket.name ?? "");
      if (place) visit(socket, place);
    });
  const ports = new Map(places.flatMap((place) => ("port" in place ? [[place.port, place] as const] : [])));
  // A dual-stack listener's connections stand in either family.
  for (const [port, place] of ports)
    for (const family of ["inet", "inet6"] as const)
      yield* visitTcp(family, port, ["established"], (socket) => {
        if (owners.has(socket.inode)) visit(socket, place, { family, socket });
      });
}

/** Its ends may belong to another one by now. */
const isEstablished = (socket: TcpSocket | undefined, inode: number): boolean =>
  socket?.inode === inode && socket.state === STATE.established;
