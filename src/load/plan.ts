/** What a run of the load generator shall do, as data, with its bounds. */
import { HupwatchError } from "../error.ts";
import type { Target } from "./target.ts";

/** The kinds of request; each meets a swap in a way of its own. */
export const KINDS = [
  ...(["fresh", "keepalive", "post", "slow", "upload"] as const),
  ...(["late", "slow-send", "slow-read", "half-close", "sse", "websocket"] as const),
] as const;
export type Kind = (typeof KINDS)[number];

export const MODES = [...KINDS, "mix"] as const;
export type Mode = (typeof MODES)[number];

export interface LoadPlan {
  target: Target;
  mode: Mode;
  /** Requests in flight at most, and so connections (bursts come on top). */
  connections: number;
  /** Requests a second, open loop; undefined: closed loop, as fast as the answers come. */
  rate: number | undefined;
  /** The run ends when either is reached; with neither it goes on until it is aborted. */
  durationMs: number | undefined;
  requests: number | undefined;
  /** From the start of a request, connect included, to the last byte of its answer. A due slot waits as long. */
  timeoutMs: number;
  /** What `slow` asks the server to wait. */
  slowMs: number;
  /** How long those take their time that do (manners.ts): silent, sending, not reading, or streaming. */
  lingerMs: number;
  /** What a `slow-read` asks for: more than the kernel's buffers take. */
  readBytes: number;
  /** Where `websocket` asks for the upgrade. */
  websocketUrl: string;
  /** Each request is due at a random instant of its slot, the same ones for the same number; undefined: evenly. */
  jitterSeed: number | undefined;
  /** Size of an `upload`'s body. */
  uploadBytes: number;
  /** Whether the answers to `post` and `upload` must follow the fixture contract: bytes, sha256 and id as JSON. */
  checkBodies: boolean;
  /** Whether an answer from an older version after a newer one had answered is a failure, or only counted. */
  staleIsFailure: boolean;
  /** The share of slots that may be missed before the generator counts as the limit, 0 to 1. */
  missedMax: number;
  /** Failures kept with all they tell; beyond it they are counted only. */
  failureRecordsMax: number;
}

export const DEFAULTS = {
  mode: "keepalive",
  connections: 50,
  rate: undefined,
  durationMs: 10_000,
  requests: undefined,
  timeoutMs: 10_000,
  slowMs: 500,
  lingerMs: 2000,
  readBytes: 8 * 1024 * 1024,
  websocketUrl: "/ws",
  jitterSeed: undefined,
  uploadBytes: 1024 * 1024,
  checkBodies: true,
  staleIsFailure: false,
  missedMax: 0.01,
  failureRecordsMax: 1000,
} as const satisfies Omit<LoadPlan, "target">;

const BOUNDS: Partial<Record<keyof LoadPlan, readonly [number, number]>> = {
  connections: [1, 60_000],
  rate: [0.01, 1_000_000],
  durationMs: [1, 30 * 24 * 3600_000],
  requests: [1, 9_999_999_999],
  timeoutMs: [1, 3600_000],
  slowMs: [0, 3600_000],
  lingerMs: [0, 3600_000],
  readBytes: [1, 1024 * 1024 * 1024],
  jitterSeed: [0, 0xffffffff],
  uploadBytes: [1, 1024 * 1024 * 1024],
  missedMax: [0, 1],
  failureRecordsMax: [0, 1_000_000],
};

/** The defaults with what is given on top. `requests` alone lifts the default duration. Throws a usage error. */
export function makePlan(target: Target, given: Partial<Omit<LoadPlan, "target">> = {}): LoadPlan {
  const durationMs = given.requests === undefined ? DEFAULTS.durationMs : undefined;
  const plan: LoadPlan = { ...DEFAULTS, durationMs, ...given, target };
  for (const [key, [low, high]] of Object.entries(BOUNDS)) {
    const value = plan[key as keyof LoadPlan];
    if (value === undefined) continue;
    if (typeof value !== "number" || !(value >= low && value <= high))
      throw new HupwatchError("usage", `${key} is ${value}, but must be from ${low} to ${high}`, {
        exitCode: 2,
        hint: `give ${key} a value in this range`,
      });
  }
  return plan;
}
