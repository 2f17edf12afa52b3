/**
 * The start over survivors: who lives of an earlier hupwatch's generations, which one clients reach, and what it holds.
 * Everybody but that one is ended first, so that the swap from it begins in a known place: one generation, one listener.
 */
import { lstatSync, unlinkSync } from "node:fs";
import { close } from "../os/libc.ts";
import type { Os } from "../os/os.ts";
import type { InheritedListener } from "../sockets/held.ts";
import { Generation, type Observer } from "./generation.ts";
import type { RunPlan } from "./plan.ts";
import type { RecordedGeneration, RecordedListener, RecordedState } from "./state-file.ts";
import { findSurvivors, takeListener } from "./survivors.ts";

export interface Takeover {
  current: RecordedGeneration;
  last: number;
  /** What the current one holds of an address; each call makes a new duplicate. */
  inherited(address: string): InheritedListener | undefined;
}

/** Undefined where nothing of that state lives; what the dead left on disk is removed then. */
export async function prepareTakeover(
  state: RecordedState | undefined,
  plan: RunPlan,
  os: Os,
  observer: Observer,
): Promise<Takeover | undefined> {
  const survivors = findSurvivors(state, isPublic);
  const others = survivors?.others ?? [];
  await Promise.all(others.map((survivor) => endOne(survivor, plan, os, observer)));
  const living = survivors?.current;
  // An heir has the very listeners of the generation it replaced: by their names it is still reached.
  const inUse = new Set(living?.listeners.map((l) => l.privatePath));
  for (const { privatePath } of (state?.generations ?? []).flatMap((g) => g.listeners))
    if (privatePath && !inUse.has(privatePath) && inodeOf(privatePath) !== undefined) unlinkSync(privatePath);
  if (!survivors || !living) return undefined;
  return {
    current: living,
    last: survivors.last,
    inherited(address) {
      const listener = living.listeners.find((l) => l.address === address);
      if (!listener) return undefined;
      return {
        fd: takeListener(living, listener.inode),
        group: takeGroup(living, listener),
        privatePath: listener.privatePath,
      };
    },
  };
}

/** The public path is a name of its private listener: that is what clients reach, whatever the state file says. */
function isPublic(generation: RecordedGeneration): boolean {
  return generation.listeners.some(({ address, privatePath }) => {
    if (!privatePath || !address.startsWith("unix:")) return false;
    const inode = inodeOf(privatePath);
    return inode !== undefined && inode === inodeOf(address.slice("unix:".length));
  });
}

function endOne(survivor: RecordedGeneration, plan: RunPlan, os: Os, observer: Observer): Promise<void> {
  const gone = Promise.withResolvers<void>();
  const generation = new Generation(
    survivor.number,
    plan,
    [],
    os,
    (event) => {
      if (event.kind === "gone") gone.resolve();
    },
    observer,
  );
  generation.adopt(survivor);
  generation.retire(survivor.role === "starting" ? "abandon" : "graceful");
  return gone.promise;
}

/** All of them or none: a group with a gap has another order. */
function takeGroup(living: RecordedGeneration, { group = [] }: RecordedListener): number[] {
  const taken = group.map((inode) => takeListener(living, inode));
  if (taken.every((fd) => fd !== undefined)) return taken;
  for (const fd of taken) if (fd !== undefined) close(fd);
  return [];
}

const inodeOf = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.ino;
