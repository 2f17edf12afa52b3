/**
 * A held socket: a public address that hupwatch owns from start to exit and never accepts from. Every generation gets
 * a listener of its own behind it (steer), or all share one (share).
 *
 * The swap steers it, and everything else only looks; the three kinds stand beside this file. Its opener disposes of it.
 */
import { HupwatchError } from "../error.ts";
import type { Probe } from "./probe.ts";
import type { SocketAddress } from "./sockaddr.ts";
import type { SocketSpec } from "./spec.ts";

export type Cutover = { mode: "steer" } | { mode: "share"; why: string };

/** Which process has a listener's descriptor. */
export type Holder =
  /** `fd` is hupwatch's own, and the generation gets a duplicate. */
  | { readonly heldBy: "hupwatch"; readonly fd: number }
  /** The server, which binds the private path by itself. */
  | { readonly heldBy: "server"; readonly fd?: undefined }
  /** A survivor has it, and the kernel allowed no duplicate: it ends with the survivor, and no successor can get it. */
  | { readonly heldBy: "survivor"; readonly fd?: undefined };

/** One generation's way in. */
export type Listener = Holder & Way;

/** That of a generation which hupwatch has made or was given: it has the descriptor. */
export type OwnListener = Extract<Holder, { heldBy: "hupwatch" }> & Way;

interface Way extends Disposable {
  /** The name a Unix listener is bound to, beside the public path: for `{socket}`, and what its connections are known by. */
  readonly privatePath?: string;
  /** A connection waits in the accept queue. */
  hasQueued(): boolean;
  /**
   * A connection that only this listener can get; `proof: false` where another generation might answer. Throws SystemError,
   * and HupwatchError where a stranger might.
   */
  connect(): Probe;
  readonly proof: boolean;
}

/** What a generation of an earlier hupwatch holds of a public address. */
export interface AdoptedListener {
  /** A duplicate of its listener, ours to close; undefined where the kernel would not give us one. */
  fd: number | undefined;
  /** Duplicates of all listeners of its SO_REUSEPORT group in the kernel's order, its own included; ours to close. */
  group?: number[] | undefined;
  /** Its socket's number in /proc. */
  inode?: number | undefined;
  /** Its whole group in the kernel's order, as it was recorded. */
  order?: readonly GroupMember[] | undefined;
  privatePath?: string | undefined;
  /** The other survivors' names beside a Unix path: theirs may stand at the public one and is replaced. */
  otherNames?: readonly string[];
}

/** Of a SO_REUSEPORT group: its socket's number in /proc, or one that is never to be used. */
export type GroupMember = number | "idle";

/** What has become of a public Unix path. */
export type PathNews =
  /** It led nowhere and was put back; `after`: what had stood in the way. */
  | { what: "restored"; path: string; after?: string }
  /** A process of a generation of ours had bound it for itself. */
  | { what: "taken-back"; path: string; pid: number }
  /** Clients do not reach it, and why; the listener that has taken it is left alone until it ends. */
  | { what: "taken"; path: string; by: string }
  /** Its file has a name that is not ours, and which: clients there are not steered. */
  | { what: "linked"; path: string; by: string }
  /** The serving generation's listener cannot be reached by any name any more: clients wait for the next one. */
  | { what: "renewed"; path: string };

/** On whose behalf public paths are kept. */
export interface PathOwner {
  /** A process of a generation that still runs: what it binds at a public path is taken back. */
  owns(pid: number): boolean;
  /** The next generation gets a listener of its own: another one can stand in for one that has lost its names until then. */
  renews?: boolean;
  tell(news: PathNews): void;
}

export interface HeldSocket extends Disposable {
  readonly spec: SocketSpec;
  readonly address: SocketAddress;
  readonly cutover: Cutover;
  /** The listener of the generation that was taken over, where it has one for this address. */
  readonly adopted?: Listener | undefined;
  /** A listener for a new generation; the public cannot reach it before `steerTo`, except the very first. Throws HupwatchError. */
  listenFor(generation: number): Listener;
  /** New connections go to `listener` from this call on, in one atomic step. Throws HupwatchError. */
  steerTo(listener: Listener): void;
  /** `A-B`: a client of this machine that connects from one of these ports gets the newest generation, ready or not. */
  readonly probePorts?: string | undefined;
  /** Listeners that keep the order of a SO_REUSEPORT group as long as any process has them open, in that order. */
  groupDescriptors?(): number[];
  /** The members of the group, survivors' included, in the kernel's order. */
  group?(): GroupMember[];
  /** From now on the public path is kept: it is put back by whatever means there are, and what happens to it is told. */
  keep?(owner: PathOwner): void;
  /** Looks at the public path, and puts it back if it does not lead to us. Never throws. */
  look?(): void;
  /** Why clients do not reach the public path; undefined while they do. */
  readonly trouble?: string | undefined;
  /** Releases it; generations that live on keep everything. */
  leave(): void;
}

export interface SocketOptions {
  /** Accept-queue length; the kernel caps it at net.core.somaxconn. */
  backlog: number;
  /** Permission bits of a Unix socket; undefined leaves them to the umask. */
  mode?: number | undefined;
  owner?: { uid: number; gid: number } | undefined;
  /** The first of the source ports that lead to the newest generation (probe-ports.ts); undefined where no line of the user's asks. */
  probePorts?: number | undefined;
  /** The users that the command runs as: root follows another user's symlink only into their directories. */
  users?: readonly number[] | undefined;
  /** Of an IPv6 socket: leaves IPv4 alone (IPV6_V6ONLY). It does so, too, where another spec has the same port of IPv4. */
  ipv6Only?: boolean | undefined;
}

/** In the name of a Unix listener that all generations share, in the place of one's number. */
export const OF_ALL = 0;

/** Of a listener that clients cannot be steered to any more. */
export const noLongerListens = (spec: SocketSpec): HupwatchError =>
  new HupwatchError("socket.shut-down", `'${spec.text}' no longer listens: a generation shut it down`, {
    hint: "keep the server from calling shutdown(2) on a socket that it was passed (uWSGI: no shutdown-sockets)",
  });
