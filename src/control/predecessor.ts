/**
 * Whom a start takes over from: what an earlier hupwatch of its name left, else what one of another name left at an address of
 * ours. Names come from the directory and the command, and both change when a release or a line of the supervisor's file does.
 */
import { renameSync } from "node:fs";
import { HupwatchError } from "../error.ts";
import { type RecordedState, readState, statePath } from "../swap/state-file.ts";
import { findSurvivors } from "../swap/survivors.ts";
import { namesIn } from "./instances.ts";
import { InstanceLock } from "./run-dir.ts";

export interface Starter {
  runDir: string;
  /** Whose lock is held. */
  name: string;
  /** As `format` writes them. */
  addresses: readonly string[];
  pid: number;
}

/**
 * The state to take over from; its file has the starter's name from then on, so that whoever comes next finds it there even
 * if this start is killed. A living hupwatch's is never touched: its lock is held. Throws HupwatchError where the run
 * directory cannot be written to.
 */
export function claimState(starter: Starter): RecordedState | undefined {
  const { runDir, name } = starter;
  const own = readState(runDir, name);
  if (hasSurvivors(own)) return own;
  for (const other of namesIn(runDir))
    if (other !== name && claim(starter, other)) return readState(runDir, name);
  return own;
}

function claim({ runDir, name, addresses, pid }: Starter, other: string): boolean {
  const isOurs = (state: RecordedState | undefined) =>
    state?.generations.some((g) => g.listeners.some((l) => addresses.includes(l.address))) === true;
  if (!isOurs(readState(runDir, other))) return false;
  using lock = lockUnlessAlive(runDir, other, pid);
  // Once more, under the lock: somebody else may have been quicker.
  const state = readState(runDir, other);
  if (!lock || !isOurs(state) || !hasSurvivors(state)) return false;
  renameSync(statePath(runDir, other), statePath(runDir, name));
  return true;
}

const hasSurvivors = (state: RecordedState | undefined) =>
  findSurvivors(state, () => false)?.current !== undefined;

function lockUnlessAlive(runDir: string, name: string, pid: number): InstanceLock | undefined {
  try {
    return InstanceLock.take(runDir, name, pid);
  } catch (error) {
    if (error instanceof HupwatchError && error.code === "instance.running") return undefined;
    throw error;
  }
}
