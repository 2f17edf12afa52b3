/**
 * Swaps that no user requests: the serving generation is old, its tree has grown, a file was touched. Each is handled like a HUP, with all
 * checks, and follows a swap that is under way. Without its option nothing has a timer here.
 */
import { formatDuration } from "../duration.ts";
import type { ServiceEvent, Tell } from "../events/service-event.ts";
import { type Aid, orWithout } from "../os/aid.ts";
import { poll } from "../os/clock.ts";
import type { Os } from "../os/os.ts";
import { RECYCLE_PAUSE_MS } from "../plan/cut-values.ts";
import type { RunPlan } from "../plan/run-plan.ts";
import type { State } from "./machine.ts";

const FLOOR_MAX_MS = 3_600_000;
/** By how much of the age a swap may come earlier: machines that were deployed together must not swap together. */
const JITTER = 0.1;
const MEMORY_LOOK_MS = 10_000;
const TOUCH_LOOK_MS = 1000;

const MEMORY: Aid = {
  what: "reading the memory of the service (smaps_rollup)",
  loss: "--max-memory has no effect",
};
const TOUCH: Aid = {
  what: "reading the file of --watch-path",
  loss: "a touch of it is not seen",
};

export interface Recycled {
  readonly state: State;
  /** Of the generation that serves. */
  readonly pids: readonly number[];
  swap(): void;
}

export type Limits = Pick<RunPlan, "maxAgeMs" | "maxMemoryBytes" | "watchPath">;

export const recycles = ({ maxAgeMs, maxMemoryBytes, watchPath }: Limits): boolean =>
  maxAgeMs !== undefined || maxMemoryBytes !== undefined || watchPath !== undefined;

export class Recycling implements Disposable {
  #age: Disposable | undefined;
  readonly #looking: Disposable[] = [];
  #floorMs = RECYCLE_PAUSE_MS;
  #notBefore = Number.NEGATIVE_INFINITY;
  #touchedAt: number | undefined;

  constructor(
    private readonly limits: Limits,
    private readonly os: Pick<Os, "clock" | "proportionalBytes" | "changedAtMs">,
    private readonly service: Recycled,
    private readonly tell: Tell,
    private readonly random: () => number = Math.random,
  ) {
    const { maxMemoryBytes, watchPath } = limits;
    const every = (ms: number, aid: Aid, look: () => void) =>
      this.#looking.push(
        poll(os.clock, ms, () => {
          orWithout(aid, look, undefined);
          return "more";
        }),
      );
    if (maxMemoryBytes !== undefined) every(MEMORY_LOOK_MS, MEMORY, () => this.#lookAtMemory(maxMemoryBytes));
    if (watchPath === undefined) return;
    this.#touchedAt = orWithout(TOUCH, () => os.changedAtMs(watchPath), undefined);
    every(TOUCH_LOOK_MS, TOUCH, () => this.#lookAtFile(watchPath));
  }

  readonly consume = (event: ServiceEvent): void => {
    switch (event.event) {
      case "generation.serves":
      case "swap.done":
        this.#floorMs = RECYCLE_PAUSE_MS;
        this.#ageFrom(this.limits.maxAgeMs);
        break;
      case "swap.rolled-back":
        this.#floorMs = Math.min(2 * this.#floorMs, FLOOR_MAX_MS);
        // The one that goes on is as old as it was.
        this.#ageFrom(this.limits.maxAgeMs === undefined ? undefined : 0);
    }
  };

  #ageFrom(ms: number | undefined): void {
    this.#age?.[Symbol.dispose]();
    this.#age = undefined;
    if (ms === undefined) return;
    const { clock } = this.os;
    const due = ms * (1 - JITTER * this.random());
    this.#age = clock.after(Math.max(due, this.#notBefore - clock.now()), () => {
      if (!this.#isDue(`it has served for ${formatDuration(this.limits.maxAgeMs ?? 0)} (--max-age)`))
        this.#ageFrom(MEMORY_LOOK_MS);
    });
  }

  #lookAtMemory(maxBytes: number): void {
    if (!this.#mayBe) return;
    const bytes = this.os.proportionalBytes(this.service.pids);
    if (bytes !== undefined && bytes > maxBytes)
      this.#isDue(`its processes have ${megabytes(bytes)}, more than ${megabytes(maxBytes)} (--max-memory)`);
  }

  /** A touch is a user's request: at once, like a HUP. A file that is removed is not touched. */
  #lookAtFile(path: string): void {
    const at = this.os.changedAtMs(path);
    const was = this.#touchedAt;
    this.#touchedAt = at;
    if (at === undefined || at === was) return;
    this.tell({ event: "swap.due", why: `${path} was touched (--watch-path)` });
    this.service.swap();
  }

  /** One generation serves, nothing is under way, and the last time is long enough ago. */
  get #mayBe(): boolean {
    const { state } = this.service;
    const isServing = state.phase === "serving" || (state.phase === "warm" && state.isConfirmed);
    return isServing && this.os.clock.now() >= this.#notBefore;
  }

  #isDue(why: string): boolean {
    if (!this.#mayBe) return false;
    this.#notBefore = this.os.clock.now() + this.#floorMs;
    this.tell({ event: "swap.due", why });
    this.service.swap();
    return true;
  }

  [Symbol.dispose](): void {
    this.#age?.[Symbol.dispose]();
    for (const looking of this.#looking) looking[Symbol.dispose]();
  }
}

const megabytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(0)} MB`;
