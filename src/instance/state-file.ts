/**
 * What a later start must know to take over: which generations run, and which listeners they hold. It is written beside the lock at
 * every change, in one step, only by the holder of the lock. A failed write is reported once and has no other effect.
 */
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import {
  type RecordedGeneration,
  type RecordedListener,
  ROLES,
  type Role,
  type Snapshot,
  type StartedGeneration,
} from "../generation/record.ts";
import { type Place, readSmall } from "../os/place.ts";
import { type Identity, type Leader, processOf } from "../os/procfs.ts";
import { enterRunDir, removeOwn } from "./run-dir.ts";

export interface RecordedState extends Snapshot {
  version: 1;
  name: string;
  hupwatch: Leader;
}

export const statePath = (runDir: string, name: string) => join(runDir, `${name}.json`);

export class StateFile {
  readonly #file: string;
  #written = "";
  #failing = false;

  constructor(
    private readonly runDir: string,
    name: string,
    private readonly onFailure: (why: string) => void,
  ) {
    this.#file = basename(statePath(runDir, name));
  }

  write(state: RecordedState): void {
    const text = textOf(state);
    try {
      using place = enterRunDir(this.runDir, process.getuid?.() ?? 0);
      if (text === this.#written && existsSync(place.at(this.#file))) return;
      putText(place, this.#file, text);
      this.#written = text;
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.onFailure(error instanceof Error ? error.message : String(error));
      this.#failing = true;
    }
  }

  /** Records what is so now, in this process' name. */
  recorder(name: string): (snapshot: Snapshot) => void {
    const hupwatch = { pid: process.pid, startTime: processOf(process.pid)?.startTime };
    return ({ last, generations }) => this.write({ version: 1, name, hupwatch, last, generations });
  }

  remove(): void {
    removeOwn(this.runDir, this.#file);
  }
}

/** In one step, and nothing is written through what may stand there. */
export const putState = (place: Place, file: string, state: RecordedState): void =>
  putText(place, file, textOf(state));

function putText(place: Place, file: string, text: string): void {
  const beside = place.at(`${file}.new`);
  rmSync(beside, { force: true });
  writeFileSync(beside, text, { mode: 0o600, flag: "wx" });
  renameSync(beside, place.at(file));
}

/**
 * Undefined if there is none; then there is nothing to take over. Also undefined if it cannot be understood: `onUnreadable` gets the
 * reason, since its generations serve on.
 */
export function readState(
  runDir: string,
  name: string,
  onUnreadable: (why: string) => void = () => {},
): RecordedState | undefined {
  const path = statePath(runDir, name);
  try {
    const text = readSmall(path, MAX_BYTES);
    if (text === undefined) return undefined;
    const state: unknown = JSON.parse(text);
    if (isStored(state)) return restored(state);
    throw new Error("its format is not that of this version of hupwatch");
  } catch (error) {
    onUnreadable(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** A few hundred bytes for each generation that lives. */
const MAX_BYTES = 1024 * 1024;

/** In the file, as every version writes and reads it, 0 stands for what is not known, and for an idle member of a group. */
export type StoredState = Omit<RecordedState, "hupwatch" | "generations"> & {
  hupwatch: Identity;
  generations: StoredGeneration[];
};
type StoredGeneration = Omit<StartedGeneration, "listeners" | "startTime"> &
  Identity & { listeners: StoredListener[] };
type StoredListener = Omit<RecordedListener, "inode" | "group"> & { inode: number; group?: number[] };

const textOf = (state: RecordedState): string =>
  JSON.stringify({
    ...state,
    hupwatch: storedLeader(state.hupwatch),
    generations: state.generations.map(storedOf),
  } satisfies StoredState);

const restored = (state: StoredState): RecordedState => ({
  ...state,
  hupwatch: recordedLeader(state.hupwatch),
  generations: state.generations.map(recordedOf),
});

const storedLeader = ({ pid, startTime = 0 }: Leader): Identity => ({ pid, startTime });
const recordedLeader = ({ pid, startTime }: Identity): Leader => ({ pid, startTime: startTime || undefined });

const storedOf = ({ pid = 0, startTime = 0, ...rest }: RecordedGeneration): StoredGeneration => ({
  ...{ ...rest, pid, startTime },
  listeners: rest.listeners.map(({ inode = 0, group, ...listener }) => ({
    ...{ ...listener, inode },
    ...(group ? { group: group.map((member) => (member === "idle" ? 0 : member)) } : {}),
  })),
});

const recordedOf = ({ pid, startTime, ...rest }: StoredGeneration): RecordedGeneration => ({
  ...(pid === 0 ? rest : { ...rest, ...recordedLeader({ pid, startTime }) }),
  listeners: rest.listeners.map(({ inode, group, ...listener }) => ({
    ...{ ...listener, inode: inode || undefined },
    group: group?.map((member) => member || "idle"),
  })),
});

const isStored = (value: unknown): value is StoredState =>
  isRecord(value) &&
  value.version === 1 &&
  typeof value.name === "string" &&
  isIdentity(value.hupwatch) &&
  isCount(value.last) &&
  isListOf(value.generations, isGeneration);

const isGeneration = (value: unknown): value is StoredGeneration =>
  isIdentity(value) &&
  isCount(value.number) &&
  isCount(value.hupwatchPid) &&
  (value.uid === undefined || isCount(value.uid)) &&
  ROLES.includes(value.role as Role) &&
  ["string", "undefined"].includes(typeof value.stop) &&
  isListOf(value.listeners, isListener);

const isListener = (value: unknown): value is StoredListener =>
  isRecord(value) &&
  typeof value.address === "string" &&
  isCount(value.inode) &&
  (value.group === undefined || isListOf(value.group, isCount)) &&
  ["string", "undefined"].includes(typeof value.privatePath);

const isIdentity = (value: unknown): value is Identity & Record<string, unknown> =>
  isRecord(value) && isCount(value.pid) && isCount(value.startTime);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isListOf = <T>(value: unknown, isOne: (one: unknown) => one is T): value is T[] =>
  Array.isArray(value) && value.every(isOne);
