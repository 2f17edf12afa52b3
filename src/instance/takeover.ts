/**
 * The start over survivors: which generations of an earlier hupwatch live, which one clients reach, and what it holds.
 * The held sockets are made from it, which steers all clients to that one. Then the others are ended, so that the swap
 * begins in a known state: one generation, one listener.
 *
 * The state file may be a step ahead of the truth, since it is written before a flip is done: the generation it names is ready.
 */
import type { LeftAs, ServiceEvent, Tell } from "../events/service-event.ts";
import { Generation } from "../generation/generation.ts";
import {
  type RecordedGeneration,
  type Role,
  type StartedGeneration,
  treeQueryOf,
} from "../generation/record.ts";
import { SETTLE_MS, settle } from "../generation/settle.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { close, isReadable, stopListening } from "../os/libc.ts";
import { tcpQueue } from "../os/netstat.ts";
import type { Os } from "../os/os.ts";
import { unixQueue } from "../os/socket-table.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { AdoptedListener } from "../sockets/held.ts";
import { listeningAt } from "../sockets/listening.ts";
import { hostBytes, parse } from "../sockets/sockaddr.ts";
import { removeNames } from "../sockets/unix-path.ts";
import type { Census, Survivor } from "./census.ts";
import { choose } from "./choice.ts";
import type { RecordedState } from "./state-file.ts";
import { takeGroup, takeListener } from "./take-listener.ts";

const WAKING: Aid = {
  what: "a look at the connections of a generation that drains",
  loss: "a client of it may wait until its server closes the connection",
};

export interface Takeover {
  current: StartedGeneration;
  last: number;
  /** Takes what the current one holds of an address: each call makes new duplicates. */
  adopt(address: string): AdoptedListener | undefined;
  /** Call it when the held sockets are made: from then on no new client reaches the others. */
  endOthers(): Promise<void>;
}

/** A duplicate of a listener that an earlier hupwatch's keeper has, by its number in /proc. */
export type Kept = (inode: number) => number | undefined;

/** What an earlier hupwatch recorded, and what lives of it. */
export interface Left {
  state: RecordedState;
  census: Census;
}

/** Undefined where no generation lives that could be taken over; what the dead ones left on disk is removed then. */
export async function prepareTakeover(
  { state, census }: Left,
  plan: RunPlan,
  os: Os,
  tell: Tell,
  kept: Kept = () => undefined,
): Promise<Takeover | undefined> {
  const { current, others, endOthers } = choose(census);
  const take = (inode: number | undefined, survivors: readonly Survivor[]) => {
    if (inode === undefined) return undefined;
    for (const survivor of survivors) {
      const fd = kept(inode) ?? takeListener(survivor, inode, os);
      if (fd !== undefined) return fd;
    }
    return undefined;
  };
  const end = async () => {
    await Promise.all(
      others.splice(0).map((survivor) => {
        tell(notTakenOver(survivor, current));
        return endOne(survivor, plan, os, tell);
      }),
    );
    removeDeadNames(state, current);
  };
  await wake([...(current ? [current] : []), ...others], os);
  if (endOthers === "before") await end();
  if (!current) return undefined;
  const all = [current, ...others];
  return {
    current,
    last: census.last,
    adopt(address) {
      const listener = current.listeners.find((l) => l.address === address);
      if (!listener) return undefined;
      if (!current.isRecorded) endIdle(address, all, (inode) => take(inode, all));
      return {
        fd: take(listener.inode, [current]),
        group: takeGroup(listener.group ?? [], (inode) => take(inode, all)),
        inode: listener.inode,
        order: listener.group,
        privatePath: listener.privatePath,
        otherNames: others.flatMap(({ listeners }) =>
          listeners.flatMap((l) => (l.address === address && l.privatePath) || []),
        ),
      };
    },
    async endOthers() {
      await settleOthers(current, others, os);
      await end();
    },
  };
}

/** Only one that was to stop may have been held; one that is killed before it has read what waits loses that. */
async function wake(survivors: readonly Survivor[], os: Os): Promise<void> {
  for (const survivor of survivors.filter(({ role }) => role === "retiring")) {
    const places = survivor.listeners.map(({ address }) => parse(address)).filter((one) => "port" in one);
    if (places.length === 0) continue;
    const { wakeConnections } = await import("../os/wake.ts");
    const pids = os.tree(treeQueryOf(survivor)).map(({ pid }) => pid);
    const ways = places.map((place) => ({ hostBytes: hostBytes(place), port: place.port }));
    orWithout(WAKING, () => wakeConnections(pids, ways, os.takeDescriptor), undefined);
  }
}

/** The hupwatch that flipped to the current one may have died right then: the others get the time that it would have given. */
async function settleOthers(current: Survivor, others: readonly Survivor[], os: Os): Promise<void> {
  if (others.length === 0) return;
  const own = new Set(current.listeners.map((l) => l.inode));
  using queues = new DisposableStack();
  const hasQueued = others.flatMap((survivor) =>
    survivor.listeners
      .flatMap(({ inode }) => (inode === undefined || own.has(inode) ? [] : inode))
      .map((inode) => queueOf(survivor, inode, queues, os)),
  );
  const settled = Promise.withResolvers<void>();
  settle(os.clock, SETTLE_MS, () => hasQueued.some((look) => look()), settled.resolve);
  await settled.promise;
}

/**
 * Group members that are not recorded and that only tees have open: without them the order is known. Clients are not steered there, so
 * none waits in them.
 */
function endIdle(
  address: string,
  survivors: readonly Survivor[],
  take: (inode: number) => number | undefined,
): void {
  const inUse = new Set(survivors.flatMap(({ listeners }) => listeners.map(({ inode }) => inode)));
  for (const { inode, privatePath } of listeningAt(address)) {
    if (privatePath !== undefined || inUse.has(inode)) continue;
    if (!survivors.some(({ sockets }) => sockets.has(inode))) continue;
    const fd = take(inode);
    if (fd === undefined) continue;
    stopListening(fd);
    close(fd);
  }
}

/** By a duplicate of the listener, else by the kernel's tables, of which a sandbox may hide that of Unix sockets. */
function queueOf(survivor: Survivor, inode: number, queues: DisposableStack, os: Os): () => boolean {
  const fd = takeListener(survivor, inode, os);
  if (fd === undefined) return () => tcpQueue(inode) > 0 || (unixQueue(inode) ?? 0) > 0;
  queues.defer(() => close(fd));
  return () => isReadable(fd);
}

/** A successor may have the very listeners of a dead generation: by their names it is still reached. */
export function removeDeadNames(
  { generations }: RecordedState,
  current: RecordedGeneration | undefined,
): void {
  const inUse = new Set(current?.listeners.map((l) => l.privatePath));
  for (const { address, privatePath } of generations.flatMap((g) => g.listeners))
    if (privatePath && !inUse.has(privatePath)) removeNames(address, privatePath);
}

const notTakenOver = ({ number, role }: Survivor, current: Survivor | undefined): ServiceEvent => ({
  event: "generation.not-taken-over",
  generation: number,
  left: LEFT_AS[role],
  instead: current?.number,
});

const LEFT_AS: Record<Role, LeftAs> = {
  serving: "serving",
  starting: "unfinished",
  unconfirmed: "unconfirmed",
  kept: "in reserve",
  retiring: "draining",
};

function endOne(survivor: StartedGeneration, plan: RunPlan, os: Os, tell: Tell): Promise<void> {
  const gone = Promise.withResolvers<void>();
  const generation = new Generation(
    survivor.number,
    plan,
    [],
    os,
    (event) => {
      if (event.kind === "gone") gone.resolve();
    },
    tell,
  );
  generation.adopt(survivor);
  generation.retire(survivor.role === "starting" ? "abandon" : "graceful");
  return gone.promise;
}
