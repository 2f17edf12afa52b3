/**
 * What a start takes over: what an earlier hupwatch of its name left, else what one left at an address of ours under another name or in
 * another run directory. The name comes from the directory and the command, which change with a release or with a line of the
 * supervisor's file. A supervisor has no XDG_RUNTIME_DIR, a login shell has one.
 */
import { basename } from "node:path";
import { HupwatchError } from "../error.ts";
import type { Os } from "../os/os.ts";
import { isAnyPort } from "../sockets/sockaddr.ts";
import { type Known, takeCensus } from "./census.ts";
import { choose } from "./choice.ts";
import { namesIn } from "./instances.ts";
import { alreadyRunning, enterRunDir, InstanceLock, removeOwn } from "./run-dir.ts";
import { putState, type RecordedState, readState, statePath } from "./state-file.ts";
import type { Left } from "./takeover.ts";
import { findUnnoted } from "./unnoted.ts";

export interface Starter extends Known {
  runDir: string;
  /** The name whose lock is held. */
  name: string;
  /** Where else this user's hupwatches may have left something; ours alone, all of them. */
  otherRunDirs: readonly string[];
  os: Os;
  /** The starter's own state is there and cannot be understood. */
  onUnreadable: (why: string) => void;
}

/** To look and touch nothing. */
export type Looker = Omit<Starter, "onUnreadable">;

/**
 * What to take over from; its state is at the starter's own place from then on, so that the next start finds it there even
 * if this one is killed. A living hupwatch's is never touched. Throws HupwatchError where one of our name lives, and
 * where the run directory cannot be written to.
 */
export function claimState(starter: Starter): Left | undefined {
  const { runDir, name, os } = starter;
  const own = readState(runDir, name, starter.onUnreadable);
  // Its lock was free all the same: the run directory was emptied under it.
  if (own && os.isRunning(own.hupwatch)) throw alreadyRunning(name, own.hupwatch.pid);
  const left = leftOf(own, starter);
  if (left && hasSurvivors(left)) return left;
  for (const [dir, other] of others(starter)) {
    const claimed = claim(starter, dir, other);
    if (claimed) return claimed;
  }
  return unnoted(starter) ?? left;
}

/** What is found without a state file. One is written now, so that the next start need not look like this. */
function unnoted(looker: Looker): Left | undefined {
  const left = findUnnoted(looker, looker.os);
  return left && hasSurvivors(left) ? left : undefined;
}

/** What a start would take over from; touches nothing. */
export function findLeft(looker: Looker): RecordedState | undefined {
  const own = leftOf(readState(looker.runDir, looker.name), looker);
  if (own && hasSurvivors(own)) return own.state;
  for (const [dir, other] of others(looker)) {
    const left = claimable(readState(dir, other), looker);
    if (left) return left.state;
  }
  return unnoted(looker)?.state;
}

/** Directory and name of all but the starter's own. A start without an address can find none there. */
function others({ runDir, name, otherRunDirs, addresses }: Looker): [dir: string, name: string][] {
  const dirs = namedAmong(addresses).length > 0 ? new Set([runDir, ...otherRunDirs]) : [];
  return [...dirs].flatMap((dir) =>
    namesIn(dir).flatMap((other): [string, string][] =>
      dir === runDir && other === name ? [] : [[dir, other]],
    ),
  );
}

function claim(starter: Starter, dir: string, other: string): Left | undefined {
  if (!isOurs(readState(dir, other), starter)) return undefined;
  using lock = lockUnlessAlive(dir, other, starter.os.pid);
  if (!lock) return undefined;
  // Once more, under the lock: another start may have been quicker.
  const left = claimable(readState(dir, other), starter);
  if (!left) return undefined;
  // Not renamed: the two may be on different file systems. A start that finds both takes its own.
  using place = enterRunDir(starter.runDir, process.getuid?.() ?? 0);
  putState(place, basename(statePath(starter.runDir, starter.name)), left.state);
  // The socket has no listener: its hupwatch is dead, and we hold its lock.
  for (const file of [basename(statePath(dir, other)), `${other}.sock`]) removeOwn(dir, file);
  return left;
}

/** At an address of ours, with survivors and without a hupwatch. */
function claimable(state: RecordedState | undefined, looker: Looker): Left | undefined {
  if (!state || !isOurs(state, looker) || looker.os.isRunning(state.hupwatch)) return undefined;
  const left = leftOf(state, looker);
  return left && hasSurvivors(left) ? left : undefined;
}

const namedAmong = (addresses: readonly string[]) => addresses.filter((address) => !isAnyPort(address));

const isOurs = (state: RecordedState | undefined, { addresses }: Looker) => {
  const named = namedAmong(addresses);
  return state?.generations.some((g) => g.listeners.some((l) => named.includes(l.address))) === true;
};

const leftOf = (state: RecordedState | undefined, looker: Looker): Left | undefined =>
  state && { state, census: takeCensus(state, looker, looker.os) };

const hasSurvivors = ({ census }: Left): boolean => choose(census).current !== undefined;

function lockUnlessAlive(runDir: string, name: string, pid: number): InstanceLock | undefined {
  try {
    return InstanceLock.take(runDir, name, pid);
  } catch (error) {
    if (error instanceof HupwatchError) return undefined; // it lives, or its directory is not ours to write to
    throw error;
  }
}
