/**
 * What a trapped call is answered. The generation's own listener takes the place of what it binds; what it does to a held path
 * afterwards is done to its own hidden socket, or not at all. Everything else goes on as it was called.
 *
 * A call that is about a held address is never let through by mistake: where something fails there, it fails for the caller, too.
 */
import { chmodSync, chownSync, closeSync, constants, fstatSync, openSync } from "node:fs";
import { constants as numbers } from "node:os";
import { listen, SystemError, setBlocking } from "../os/libc.ts";
import {
  type Answer,
  FLAGS,
  isNotificationValid,
  placeDescriptor,
  protocolOf,
  setOption,
} from "../os/libc-intercept.ts";
import { decode, format, type SocketAddress } from "../sockets/sockaddr.ts";
import { type Call, RECORDED_OPTIONS, V6ONLY } from "./calls.ts";
import { isLearnable, type Learning, learn, Refused } from "./learn.ts";
import { Caller, type Notification } from "./notification.ts";
import { type Given, givenForPath, givenForPort, type RecordedOption } from "./table.ts";

/** What the keeper knows of a generation while it answers for it. */
export interface Charge {
  readonly notify: number;
  readonly given: Given[];
  /** Addresses that are not given are learned; undefined: they are the command's own business. */
  readonly learning: Learning | undefined;
  /** What was set on sockets that are not bound yet, by the socket's number in /proc. */
  readonly options: Map<number, RecordedOption[]>;
  /** It was bound before: by another process, or by a generation that shares it. */
  isInUse(given: Given): boolean;
  /** Tells what was seen; `pid` is the process that did it. */
  saw(what: "bound" | "listening", given: Given, pid: number): void;
}

/** Its registration would go with its own socket, and the server would wait for ever. */
const IN_EPOLL =
  "the server has put its socket into epoll before it binds it, as netty did until 2026-02, so that it cannot be given another one";

/** The call goes on as it was made, and that is said: nothing is held there. */
export class LetBe extends Error {}

/** Sockets whose options are remembered at a time: a bind forgets them, and those that never bind are few. */
const MAX_OPTION_SOCKETS = 1000;
/** More than any server has; each costs hupwatch, the keeper and every generation a descriptor. */
const MAX_LEARNED = 64;
const AT_FDCWD = -100;
const AT_REMOVEDIR = 0x200;
const CAP_CHOWN = 0;
const CAP_FOWNER = 3;
const SOCKADDR_MAX_BYTES = 128;

export function answerTo(call: Call, notification: Notification, charge: Charge): Answer {
  const caller = new Caller(notification.tid);
  switch (call.kind) {
    case "bind":
      return answerBind(notification, caller, charge);
    case "listen":
      return answerListen(notification, caller, charge);
    case "setsockopt":
      return recordOption(notification, caller, charge);
    case "connect":
      return answerConnect(notification, caller, charge);
    default:
      return answerPath(call, notification, caller, charge);
  }
}

function answerBind(notification: Notification, caller: Caller, charge: Charge): Answer {
  const number = notification.int(0);
  const address = addressOf(notification, caller);
  if (!address) return "continue";
  const inode = caller.socketInode(number);
  const protocol = caller.look(() => protocolOf(notification.tid, number));
  if (inode === undefined || protocol === undefined) return "continue";
  const options = charge.options.get(inode) ?? [];
  charge.options.delete(inode);
  const known = givenFor(address, protocol, options, caller, charge.given);
  if (!isNotificationValid(charge.notify, notification.id)) return "continue";
  if (!known && (!charge.learning || !isLearnable(address, protocol))) return "continue";
  if (caller.isInEpoll(number, inode)) {
    if (known) throw new Error(`${IN_EPOLL}: update it, or use another handover`);
    throw new LetBe(`${IN_EPOLL}: ${format(address)} is its own, and no swap can hand it over`);
  }
  const given = known ?? learnt(address, options, caller, charge);
  if (!given || "errno" in given) return given ?? "continue";
  return give(given, number, options, notification, caller, charge);
}

/** The errno is that of the caller's own bind. */
function learnt(
  address: SocketAddress,
  options: readonly RecordedOption[],
  caller: Caller,
  { learning, given }: Charge,
): Given | { errno: keyof typeof numbers.errno } | undefined {
  if (!learning) return undefined;
  if (given.filter(({ isLearned }) => isLearned).length >= MAX_LEARNED) {
    if (learning.isFull) return undefined;
    learning.isFull = true;
    throw new LetBe(
      `the service listens at more than ${MAX_LEARNED} addresses: ${format(address)} and further ones are its own, and no swap can hand them over`,
    );
  }
  try {
    const found = learn(address, options, caller, learning);
    if (found) given.push(found);
    return found;
  } catch (error) {
    if (error instanceof Refused || error instanceof SystemError)
      return { errno: error.errno as keyof typeof numbers.errno };
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code in numbers.errno) return { errno: code as keyof typeof numbers.errno };
    throw error;
  }
}

function givenFor(
  address: SocketAddress,
  protocol: string,
  options: readonly RecordedOption[],
  caller: Caller,
  given: readonly Given[],
): Given | undefined {
  if (address.family === "unix") {
    if (!protocol.startsWith("UNIX")) return undefined;
    return caller.look((root) => givenForPath(address.path, resolvedIn(root, AT_FDCWD, address.path), given));
  }
  if (address.family === "abstract")
    return given.find((g) => g.address.family === "abstract" && g.address.name === address.name);
  if (!/^(MP)?TCP/.test(protocol)) return undefined;
  const ipv6Only = options.some(
    (o) => o.level === V6ONLY.level && o.option === V6ONLY.option && o.value.some(Boolean),
  );
  return givenForPort(address, ipv6Only, given);
}

/** The held listener at the server's own number, with the flags that its socket had there. */
function give(
  given: Given,
  number: number,
  options: readonly RecordedOption[],
  notification: Notification,
  caller: Caller,
  charge: Charge,
): Answer {
  const flags = caller.flags(number);
  const isNonblocking = (flags & FLAGS.nonblock) !== 0;
  // All that have the listener share the flag: cleared, it would hold an event loop that has it already in its next accept(2).
  if (isNonblocking || !charge.isInUse(given))
    setBlocking(given.fd, isNonblocking ? "nonblocking" : "blocking");
  for (const { level, option, value } of options) {
    if (level === V6ONLY.level) continue;
    try {
      setOption(given.fd, level, option, value);
    } catch (error) {
      // One that a listener no longer takes: the server goes on without it, as on a kernel that does not have it.
      if (!(error instanceof SystemError)) throw error;
    }
  }
  const cloexec = (flags & FLAGS.cloexec) !== 0;
  placeDescriptor(charge.notify, notification.id, given.fd, { number, cloexec });
  given.isBound = true;
  given.boundBy ??= caller.identity.uid;
  charge.saw("bound", given, caller.pid);
  // It listens from before: HAProxy asks (SO_ACCEPTCONN), and calls listen(2) only where it has to.
  if (!given.isLearned) listens(given, caller, charge);
  return { value: 0 };
}

function listens(given: Given, caller: Caller, { saw }: Charge): void {
  if (given.isListening) return;
  given.isListening = true;
  saw("listening", given, caller.pid);
}

/** It listens already, with the queue that hupwatch gave it: a server's own backlog would shorten it. */
function answerListen(notification: Notification, caller: Caller, charge: Charge): Answer {
  const inode = caller.socketInode(notification.int(0));
  const given = charge.given.find((g) => g.inode === inode);
  if (!given) return "continue";
  if (!given.isListening && given.isLearned && charge.learning) listen(given.fd, charge.learning.backlog);
  listens(given, caller, charge);
  return { value: 0 };
}

/** Only remembered: the call goes on, and is made again on the listener. */
function recordOption(notification: Notification, caller: Caller, { options }: Charge): Answer {
  const [level, option] = [notification.int(1), notification.int(2)];
  const length = Math.min(Math.max(notification.int(4), 0), SOCKADDR_MAX_BYTES);
  const inode = caller.socketInode(notification.int(0));
  const known = RECORDED_OPTIONS.some((o) => o.level === level && o.option === option);
  if (inode === undefined || !known) return "continue";
  // A copy: a Buffer's slice is the same memory.
  const value = Uint8Array.from(caller.memory(notification.address(3), length));
  const earlier = options.get(inode)?.filter((o) => o.level !== level || o.option !== option) ?? [];
  if (options.size >= MAX_OPTION_SOCKETS) options.delete(options.keys().next().value as number);
  options.set(inode, [...earlier, { level, option, value }]);
  return "continue";
}

/** Servers find out by a connect whether a listener is there before they bind: before its bind a generation finds none. */
function answerConnect(notification: Notification, caller: Caller, charge: Charge): Answer {
  const address = addressOf(notification, caller);
  if (address?.family !== "unix") return "continue";
  const { path } = address;
  const given = caller.look((root) => givenForPath(path, resolvedIn(root, AT_FDCWD, path), charge.given));
  return given && !given.isBound ? { errno: "ECONNREFUSED" } : "continue";
}

function answerPath(call: Call, notification: Notification, caller: Caller, charge: Charge): Answer {
  const { path: where, kind } = call;
  if (!where) return "continue";
  const path = caller.path(notification.address(where.at));
  if (path === "") return "continue";
  const directory = where.directory === undefined ? AT_FDCWD : notification.int(where.directory);
  const given = caller.look((root) => givenForPath(path, resolvedIn(root, directory, path), charge.given));
  if (!given || !isNotificationValid(charge.notify, notification.id)) return "continue";
  if (kind === "unlink") {
    const removesDirectory = call.flags !== undefined && (notification.int(call.flags) & AT_REMOVEDIR) !== 0;
    return removesDirectory ? "continue" : { value: 0 };
  }
  const value = notification.int(call.value ?? 0);
  if (kind === "chmod") {
    const mayChange = (owner: number) => isItsOwn(given, owner, caller) || caller.isCapable(CAP_FOWNER);
    return onOwnSocket(given, mayChange, (own, had) => chmodSync(own, (value & 0o777) | (had & 0o1000)));
  }
  const gid = notification.int((call.value ?? 0) + 1);
  const mayGive = (owner: number) =>
    caller.isCapable(CAP_CHOWN) || (isItsOwn(given, owner, caller) && mayGiveTo(caller, value, gid));
  return onOwnSocket(given, mayGive, (own) => chownSync(own, value, gid));
}

/** The listener was made by hupwatch, so its file's owner is not always the user that bound it. */
const isItsOwn = ({ boundBy }: Given, owner: number, { identity }: Caller): boolean =>
  identity.uid === owner || identity.uid === boundBy;

/** As chown(2) without CAP_CHOWN: only to its own user and groups; -1 changes nothing. */
function mayGiveTo({ identity }: Caller, uid: number, gid: number): boolean {
  return (
    (uid === -1 || uid === identity.uid) &&
    (gid === -1 || gid === identity.gid || identity.groups.includes(gid))
  );
}

/** By a descriptor of the very socket: its name stands in a directory that others may write to. `had`: its mode until now. */
function onOwnSocket(
  { privatePath }: Given,
  may: (owner: number) => boolean,
  act: (path: string, had: number) => void,
): Answer {
  if (privatePath === undefined) return { value: 0 };
  const fd = openSync(privatePath, O_PATH | constants.O_NOFOLLOW);
  try {
    const stat = fstatSync(fd);
    if (!stat.isSocket() || !may(stat.uid)) return { errno: "EPERM" };
    act(`/proc/self/fd/${fd}`, stat.mode);
    return { value: 0 };
  } finally {
    closeSync(fd);
  }
}

const O_PATH = 0o10000000;

/** Undefined where it is none that we know, or the caller has gone. */
function addressOf(notification: Notification, caller: Caller): SocketAddress | undefined {
  const length = notification.int(2);
  if (length < 3 || length > SOCKADDR_MAX_BYTES) return undefined;
  try {
    return decode(caller.memory(notification.address(1), length));
  } catch (error) {
    if (error instanceof RangeError) return undefined; // another family, or too short for its own
    if ((error as NodeJS.ErrnoException).code === "EIO") return undefined; // no such memory: EFAULT, as the kernel says itself
    throw error;
  }
}

/** The caller's path as we can open it, where `root` is its directory in /proc. */
function resolvedIn(root: string, directory: number, path: string): string {
  if (path.startsWith("/")) return `${root}/root${path}`;
  return directory === AT_FDCWD ? `${root}/cwd/${path}` : `${root}/fd/${directory}/${path}`;
}
