/**
 * What a trapped call is answered. The generation's own listener takes the place of what it binds; what it does to a held path
 * afterwards is done to its own hidden socket, or not at all. Everything else goes on as it was called.
 *
 * A call that is about a held address is never let through by mistake: where something fails there, it fails for the caller, too.
 */
import { chmodSync, chownSync } from "node:fs";
import { type Answer, isNotificationValid, protocolOf } from "../os/libc-intercept.ts";
import { decode, format, type SocketAddress } from "../sockets/sockaddr.ts";
import { type Call, RECORDED_OPTIONS, V6ONLY } from "./calls.ts";
import { type Charge, give, IN_EPOLL, LetBe, learnt, listenAt, onOwnSocket } from "./give.ts";
import { isLearnable } from "./learn.ts";
import { AT_FDCWD, Caller, type Notification, resolvedIn } from "./notification.ts";
import { answerRename } from "./renames.ts";
import { type Given, givenForPath, givenForPort, type RecordedOption } from "./table.ts";

/** Sockets whose options are remembered at a time: a bind forgets them, and those that never bind are few. */
const MAX_OPTION_SOCKETS = 1000;
const AT_REMOVEDIR = 0x200;
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
    case "rename":
      return answerRename(call, notification, caller, charge);
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
    throw new LetBe(`${IN_EPOLL}: it keeps ${format(address)}, and no swap can pass that on`);
  }
  const given = known ?? learnt(address, options, caller, charge);
  if (!given || "errno" in given) return given ?? "continue";
  return give(given, number, options, notification, caller, charge);
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
  return givenForPort({ address, ipv6Only }, given);
}

/** It listens already, with the queue that hupwatch gave it: a server's own backlog would shorten it. */
function answerListen(notification: Notification, caller: Caller, charge: Charge): Answer {
  const inode = caller.socketInode(notification.int(0));
  const given = charge.given.find((g) => g.inode === inode);
  if (!given) return "continue";
  listenAt(given, caller, charge);
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
  // What another generation has is not to vanish, either.
  const all = kind === "unlink" ? charge.givenToAny() : charge.given;
  const given = caller.look((root) => givenForPath(path, resolvedIn(root, directory, path), all));
  if (!given || !isNotificationValid(charge.notify, notification.id)) return "continue";
  if (kind === "unlink") {
    const removesDirectory = call.flags !== undefined && (notification.int(call.flags) & AT_REMOVEDIR) !== 0;
    return removesDirectory ? "continue" : { value: 0 };
  }
  const value = notification.int(call.value ?? 0);
  if (kind === "chmod") {
    const mayChange = (owner: number) => isItsOwn(given, owner, caller) || caller.isCapable("fowner");
    return onOwnSocket(given, mayChange, (own, had) => chmodSync(own, (value & 0o777) | (had & 0o1000)));
  }
  const gid = notification.int((call.value ?? 0) + 1);
  const mayGive = (owner: number) =>
    caller.isCapable("chown") || (isItsOwn(given, owner, caller) && mayGiveTo(caller, value, gid));
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
