/**
 * What a later start must know to take over: who runs, and which listeners they hold. Written beside the lock after
 * every change, in one step; only the holder of the lock writes it. A failed write is told once and harms nothing.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RecordedGeneration, RecordedListener, Role, Snapshot } from "../generation/record.ts";
import { type Identity, processOf } from "../os/procfs.ts";

export interface RecordedState extends Snapshot {
  version: 1;
  name: string;
  hupwatch: Identity;
}

export const statePath = (runDir: string, name: string) => join(runDir, `${name}.json`);

export class StateFile {
  readonly #path: string;
  #written = "";
  #failing = false;

  constructor(
    runDir: string,
    name: string,
    private readonly onFailure: (why: string) => void,
  ) {
    this.#path = statePath(runDir, name);
  }

  write(state: RecordedState): void {
    const text = JSON.stringify(state);
    if (text === this.#written && existsSync(this.#path)) return;
    try {
      // logind removes a user's runtime directory at the last logout, whoever still runs.
      mkdirSync(dirname(this.#path), { mode: 0o700, recursive: true });
      const beside = `${this.#path}.new`;
      writeFileSync(beside, text, { mode: 0o600 });
      renameSync(beside, this.#path);
      this.#written = text;
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.onFailure(error instanceof Error ? error.message : String(error));
      this.#failing = true;
    }
  }

  /** Records what is so now, in this process' name. */
  recorder(name: string): (snapshot: Snapshot) => void {
    const hupwatch = { pid: process.pid, startTime: processOf(process.pid)?.startTime ?? 0 };
    return ({ last, generations }) => this.write({ version: 1, name, hupwatch, last, generations });
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

/**
 * Undefined where there is none; then there is nothing to take over. Nor is there where it cannot be understood: `onUnreadable`
 * hears why, since whoever is named in it serves on.
 */
export function readState(
  runDir: string,
  name: string,
  onUnreadable: (why: string) => void = () => {},
): RecordedState | undefined {
  const path = statePath(runDir, name);
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return undefined;
    if (!stat.isFile()) throw new Error("it is no file");
    if (stat.size > MAX_BYTES) throw new Error(`it has ${stat.size} bytes`);
    const state: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (isState(state)) return state;
    throw new Error("it is not what this version of hupwatch writes");
  } catch (error) {
    onUnreadable(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** A few hundred bytes for each generation that lives. */
const MAX_BYTES = 1024 * 1024;

const isState = (value: unknown): value is RecordedState =>
  isRecord(value) &&
  value.version === 1 &&
  typeof value.name === "string" &&
  isIdentity(value.hupwatch) &&
  isCount(value.last) &&
  isListOf(value.generations, isGeneration);

const isGeneration = (value: unknown): value is RecordedGeneration =>
  isIdentity(value) &&
  isCount(value.number) &&
  isCount(value.hupwatchPid) &&
  (value.uid === undefined || isCount(value.uid)) &&
  ["serving", "starting", "retiring"].includes(value.role as Role) &&
  isListOf(value.listeners, isListener);

const isListener = (value: unknown): value is RecordedListener =>
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
