/**
 * A server that binds beside its path and renames its socket onto it (HAProxy: PATH.PID.tmp): what it means is a bind at that path, and so it is
 * answered. Its socket gives way to the held listener of that path, or to one that is learned, and nothing is renamed.
 */
import { chmodSync, chownSync, lstatSync, readFileSync, readlinkSync, type Stats, unlinkSync } from "node:fs";
import { join } from "node:path";
import { type Answer, isNotificationValid } from "../os/libc-intercept.ts";
import type { Call, PathArgument } from "./calls.ts";
import { type Charge, give, IN_EPOLL, LetBe, learnt, listenAt, onOwnSocket } from "./give.ts";
import { AT_FDCWD, type Caller, type Notification, resolvedIn } from "./notification.ts";
import { type Given, givenForPath } from "./table.ts";

export function answerRename(
  { path: from, to, flags }: Call,
  notification: Notification,
  caller: Caller,
  charge: Charge,
): Answer {
  if (!from || !to || (flags !== undefined && notification.int(flags) !== 0)) return "continue";
  const old = pathOf(from, notification, caller);
  const target = pathOf(to, notification, caller);
  const known = caller.look(() => givenForPath(target.path, target.resolved, charge.given));
  if (!known && !charge.learning) return "continue";
  const file = socketFile(old, caller);
  if (!file) return "continue";
  // Its own, where it has bound it with our help already.
  const own = caller.look(() => givenForPath(old.path, old.resolved, charge.given));
  const bound = own?.isLearned ? own : boundAt(old.path, caller);
  const numbers = bound ? caller.numbersOf(bound.inode) : [];
  if (!bound || numbers.length === 0) return "continue";
  if (!isNotificationValid(charge.notify, notification.id)) return "continue";
  if (own?.isListening || numbers.some((number) => caller.isInEpoll(number, bound.inode)))
    throw new LetBe(
      `the server renames a socket onto ${target.path} that it uses already${own?.isListening ? "" : ` (${IN_EPOLL})`}: it keeps that path, and no swap can pass that on`,
    );
  return standIn({ old, target, file, own, bound, numbers }, known, notification, caller, charge);
}

interface Path {
  /** As the caller has it. */
  path: string;
  /** As we can open it. */
  resolved: string;
}

interface Rename {
  old: Path;
  target: Path;
  /** As its server has changed it before the rename: that is what clients shall see at the new path. */
  file: Stats;
  own: Given | undefined;
  bound: { inode: number; isListening: boolean };
  numbers: readonly number[];
}

function standIn(
  { old, target, file, own, bound, numbers }: Rename,
  known: Given | undefined,
  notification: Notification,
  caller: Caller,
  charge: Charge,
): Answer {
  const given = known ?? atNewPath(target, caller, charge);
  if (!given || "errno" in given) return given ?? "continue";
  for (const number of numbers) give(given, number, [], notification, caller, charge);
  if (bound.isListening) listenAt(given, caller, charge);
  onOwnSocket(
    given,
    () => true,
    (hidden, had) => {
      const { uid, gid } = caller.identity;
      const isGiven = file.uid !== uid || file.gid !== gid;
      if (isGiven && caller.isCapable("chown")) chownSync(hidden, file.uid, file.gid);
      chmodSync(hidden, (file.mode & 0o777) | (had & 0o1000));
    },
  );
  if (own) charge.letGo(own);
  else caller.withItsRights(() => unlinkSync(old.resolved));
  return { value: 0 };
}

/** rename(2) replaces what is there, and bind(2) does not. */
function atNewPath({ path, resolved }: Path, caller: Caller, charge: Charge): ReturnType<typeof learnt> {
  if (socketFile({ path, resolved }, caller)) caller.withItsRights(() => unlinkSync(resolved));
  return learnt({ family: "unix", path }, [], caller, charge);
}

/** Absolute where it is relative to a descriptor: what is learned is looked up from the working directory. */
function pathOf({ at, directory: number }: PathArgument, notification: Notification, caller: Caller): Path {
  const directory = number === undefined ? AT_FDCWD : notification.int(number);
  const written = caller.path(notification.address(at));
  const path =
    directory === AT_FDCWD || written.startsWith("/")
      ? written
      : join(
          caller.look((root) => readlinkSync(`${root}/fd/${directory}`)),
          written,
        );
  return { path, resolved: caller.look((root) => resolvedIn(root, AT_FDCWD, path)) };
}

/** Undefined of all that is none. */
const socketFile = ({ path, resolved }: Path, caller: Caller): Stats | undefined => {
  if (path === "") return undefined;
  const stat = caller.look(() => lstatSync(resolved, { throwIfNoEntry: false }));
  return stat?.isSocket() ? stat : undefined;
};

/** __SO_ACCEPTCON of linux/net.h, as /proc/net/unix shows it. */
const ACCEPTS = 0x10000;

/** The one socket that was bound by that name, as it was written; undefined where there are several, or none. proc_net(5). */
function boundAt(path: string, caller: Caller): { inode: number; isListening: boolean } | undefined {
  const table = caller.look((root) => readFileSync(`${root}/net/unix`, "utf8"));
  const [found, ...others] = table.split("\n").filter((line) => line.endsWith(` ${path}`));
  const [, , , flags = "", , , inode] = found?.split(/\s+/) ?? [];
  if (inode === undefined || others.length > 0) return undefined;
  return { inode: Number(inode), isListening: (Number.parseInt(flags, 16) & ACCEPTS) !== 0 };
}
