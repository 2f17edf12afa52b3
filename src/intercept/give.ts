/** A listener in the place of a socket of the command's own: at the very number of it, with what that one had. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { constants as numbers } from "node:os";
import { listen, SystemError, setBlocking } from "../os/libc.ts";
import { type Answer, FLAGS, placeDescriptor, setOption } from "../os/libc-intercept.ts";
import { format, type SocketAddress } from "../sockets/sockaddr.ts";
import { V6ONLY } from "./calls.ts";
import { type Learning, learn, Refused } from "./learn.ts";
import type { Caller, Notification } from "./notification.ts";
import type { Given, RecordedOption } from "./table.ts";

/** What the keeper knows of a generation while it answers for it. */
export interface Charge {
  readonly notify: number;
  readonly given: Given[];
  /** Of all generations. */
  givenToAny(): readonly Given[];
  /** It has given up one that was bound and never listened. */
  letGo(given: Given): void;
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
export const IN_EPOLL =
  "the server put its socket into epoll before the bind, as netty did until 2026-02, so it cannot be exchanged";

/** The call goes on as it was made, and that is said: nothing is held there. */
export class LetBe extends Error {}

/** More than any server has; each costs hupwatch, the keeper and every generation a descriptor. */
const MAX_LEARNED = 64;
/** The errno is that of the caller's own bind. */
export function learnt(
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
      `the service listens at more than ${MAX_LEARNED} addresses: it keeps ${format(address)} and further ones, and no swap can pass those on`,
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

/** The held listener at the server's own number, with the flags that its socket had there. */
export function give(
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

/** The command calls listen(2), or has called it before. */
export function listenAt(given: Given, caller: Caller, charge: Charge): void {
  if (!given.isListening && given.isLearned && charge.learning) listen(given.fd, charge.learning.backlog);
  listens(given, caller, charge);
}

/** By a descriptor of the very socket: its name stands in a directory that others may write to. `had`: its mode until now. */
export function onOwnSocket(
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
