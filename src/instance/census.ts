/**
 * Which of an earlier hupwatch's generations live, and what they hold: facts, gathered in one look, behind the Os seam. choice.ts says what
 * follows from them.
 */
import {
  isStarted,
  type RecordedListener,
  type StartedGeneration,
  treeQueryOf,
} from "../generation/record.ts";
import type { Look } from "../os/look.ts";
import { lineOf, marksIn } from "../os/marks.ts";
import type { Os } from "../os/os.ts";
import { TEE } from "../os/process-names.ts";
import type { Identity, Process } from "../os/procfs.ts";
import { listeningAt } from "../sockets/listening.ts";
import type { RecordedState } from "./state-file.ts";

/** A generation that goes on serving although its hupwatch died or left, or what is left of one. */
export interface Survivor extends StartedGeneration {
  /** The state file names its leader; else only environments tell of it, which anything of that user can have. */
  isRecorded: boolean;
  /** Its leader runs. */
  isLed: boolean;
  /** One of its processes, and not only the tee of its output, has one of its listeners open. */
  mayAccept: boolean;
  /** A public Unix path is a name of one of its listeners: clients reach it there, whatever the state file says. */
  isPublic: boolean;
  /** Sockets that its processes have open, by their numbers in /proc. A tee counts: it keeps a listener in its group. */
  sockets: ReadonlySet<number>;
}

export interface Census {
  /** Recorded ones in the order of the state file, then the others. */
  survivors: readonly Survivor[];
  /** The highest number given to a generation so far. */
  last: number;
}

/** What the start itself knows. */
export interface Known {
  /** Of its command; undefined where it has a name that only the system's libraries can look up. */
  commandUid: number | undefined;
  /** That it is to hold, as `format` writes them. */
  addresses: readonly string[];
}

/** `hupwatchPids`: of those whose marks are looked for besides what is recorded. */
export function takeCensus(
  state: RecordedState,
  known: Known,
  os: Os,
  hupwatchPids: readonly number[] = [state.hupwatch.pid],
  look: Look = os.look(),
): Census {
  const started = state.generations.filter(isStarted).filter((g) => !isAnotherUsers(g, os));
  const recorded = started
    .map((g) =>
      survivorOf({ ...g, uid: os.uidOf(g) ?? g.uid ?? known.commandUid }, { isRecorded: true }, os, look),
    )
    .filter(({ isLed, tree }) => isLed || tree.length > 0);
  const found = hupwatchPids
    .flatMap((pid) => unrecorded(state, pid, known, os, look))
    .map((g) => survivorOf(g, { isRecorded: false, addresses: known.addresses }, os, look));
  const survivors = [...recorded, ...found].map(({ tree: _, ...survivor }) => survivor);
  return { survivors, last: Math.max(state.last, ...survivors.map((g) => g.number)) };
}

/** `addresses`: where a listener of its is looked for, if none is recorded. */
function survivorOf(
  g: StartedGeneration,
  { isRecorded, addresses = [] }: { isRecorded: boolean; addresses?: readonly string[] },
  os: Os,
  look: Look,
): Survivor & { tree: Process[] } {
  const tree = os.tree(treeQueryOf(g), look);
  const held = tree.map((process) => ({ process, inodes: inodesOf(process, os) }));
  const sockets = new Set(held.flatMap(({ inodes }) => inodes));
  const ofServer = new Set(held.flatMap(({ process, inodes }) => (process.command === TEE ? [] : inodes)));
  const listeners = g.listeners.length > 0 ? g.listeners : foundAt(addresses, ofServer);
  const hasOne = (inodes: readonly number[]) =>
    listeners.some(({ inode }) => inode !== undefined && inodes.includes(inode));
  return {
    ...{ ...g, listeners, isRecorded, sockets, tree },
    isLed: os.isRunning(g),
    mayAccept: hasOne([...ofServer]),
    isPublic: listeners.some((listener) => isPublic(listener, os)),
  };
}

const inodesOf = ({ pid }: Process, os: Os): number[] => [...os.socketsOf(pid).keys()].map(Number);

/** The listeners at these addresses, by the kernel's lists, that it has open. */
const foundAt = (addresses: readonly string[], sockets: ReadonlySet<number>): RecordedListener[] =>
  addresses.flatMap((address) =>
    listeningAt(address)
      .filter(({ inode }) => sockets.has(inode))
      .map((listening) => ({ address, ...listening })),
  );

function isPublic({ address, privatePath }: RecordedListener, os: Os): boolean {
  if (!privatePath || !address.startsWith("unix:")) return false;
  const inode = os.inodeOf(privatePath);
  return inode !== undefined && inode === os.inodeOf(address.slice("unix:".length));
}

/**
 * After a restart of the machine, or of a container that keeps its run directory, a number and a start time may come again. A
 * process of root's may have become any user since, and sudo(8) makes any user root; no other change is in its power.
 */
function isAnotherUsers(g: StartedGeneration, os: Os): boolean {
  const uid = os.uidOf(g);
  return uid !== undefined && uid !== 0 && ![undefined, 0, uid].includes(g.uid);
}

/** It could do anything anyway. */
const ROOT = 0;

/** Its user is one whose word counts: root, our own, the command's, or one of `more`. */
export function isTrusted(
  identity: Identity,
  { commandUid }: Known,
  os: Os,
  more: readonly (number | undefined)[] = [],
): boolean {
  const uid = os.uidOf(identity);
  return uid !== undefined && [ROOT, process.getuid?.(), commandUid, ...more].includes(uid);
}

/**
 * Started in the instant between the fork and the state's write, or while the disk was full: then the pid is known only by
 * the environment. That of another user's process says nothing.
 */
function unrecorded(
  state: RecordedState,
  hupwatchPid: number,
  known: Known,
  os: Os,
  look: Look,
): StartedGeneration[] {
  const uids = state.generations.map((g) => g.uid);
  const started = new Set(state.generations.filter(isStarted).map((g) => g.number));
  const found = new Map<number, StartedGeneration>();
  for (const { process, environment } of os.marked(lineOf("hupwatchPid", hupwatchPid), look)) {
    const { generation: number, name } = marksIn(environment);
    const uid = os.uidOf(process);
    if (number === undefined || name !== state.name || started.has(number)) continue;
    if (!isTrusted(process, known, os, uids)) continue;
    const { pid, startTime } = process;
    if ((found.get(number)?.startTime ?? Number.POSITIVE_INFINITY) <= startTime) continue;
    const { role = "starting", listeners = [] } = state.generations.find((g) => g.number === number) ?? {};
    found.set(number, { pid, startTime, uid, number, role, listeners, hupwatchPid });
  }
  return [...found.values()];
}
