/**
 * Accidents on purpose. They are done to the new generation's process by signals, at the instant the events tell of, so
 * that they need nothing of the command: what is killed while it boots is a release that crashes, what is stopped
 * (SIGSTOP) is one that hangs.
 */
import { fraction } from "../load/schedule.ts";
import { processOf } from "../os/procfs.ts";
import type { HupwatchEvent } from "./event-feed.ts";
import type { Outcome, Swap } from "./journal.ts";
import type { ChaosKind } from "./plan.ts";
import { signalProcess } from "./stock.ts";

/** What an accident does to a hupwatch, and what it sees of it. */
export interface Patient {
  readonly events: readonly HupwatchEvent[];
  /** When it was asked for a swap, in milliseconds of the run. */
  readonly signalsMs: readonly number[];
  hup(): void;
  /** The next start is itself a swap that is asked for. */
  asks(): void;
  launch(): void;
  killHard(): Promise<void>;
  /** The first event from number `from` on that matches; undefined where it does not come in time. */
  expect(from: number, match: (event: HupwatchEvent) => boolean): Promise<HupwatchEvent | undefined>;
  settled(from: number): Promise<boolean>;
  until<T>(look: () => T | undefined): Promise<T | undefined>;
  swapsSince(from: number, kind: Swap["kind"]): Swap[];
}

export interface Accident {
  /** What happens, and what is to come of it. */
  title: string;
  /** Of every swap that it leads to. */
  expected: Outcome;
  happen(server: Patient): Promise<void>;
}

const STORM_HUPS = 10;
const STORM_EVERY_MS = 100;
/** How long a release lives that dies in its warm-up: it has served by then, and half a second is the least there is. */
const WARM_LIFE_MS = 100;
const ALONE_MS = 500;
/** Well within a phase: events are stamped in whole milliseconds. */
const WITHIN_MS = 20;

const hasStarted = (e: HupwatchEvent) => e.event === "generation.started";

function signalLeader(started: HupwatchEvent | undefined, signal: NodeJS.Signals): void {
  const leader = started?.child === undefined ? undefined : processOf(started.child);
  if (leader) signalProcess(leader, signal);
}

/** What is done one after the other: the same for the same seed. */
export const mixOf = (seed: number, length: number, kinds: readonly ChaosKind[]): Swap["kind"][] => {
  const all = ["swap", ...kinds] as const;
  return Array.from({ length }, (_, i) => all[Math.floor(fraction(seed, i) * all.length)] ?? "swap");
};

/** What is to become of a swap of this kind. */
export const expectedOf = (kind: Swap["kind"]): Outcome =>
  kind === "swap" ? "swapped" : ACCIDENTS[kind].expected;

/** The last HUP was followed by a generation that serves, and nothing goes on any more. */
function isAnswered(server: Patient, from: number, kind: ChaosKind): true | undefined {
  const last = server.signalsMs.at(-1) as number;
  const swaps = server.swapsSince(from, kind);
  const answered = swaps.some((s) => s.outcome === "swapped" && (s.execMs as number) >= last - 1);
  return (answered && swaps.every((s) => s.endMs !== undefined)) || undefined;
}

export const ACCIDENTS: Record<ChaosKind, Accident> = {
  crash: {
    title: "a release that crashes while it boots is rolled back",
    expected: "rolled-back",
    async happen(server) {
      const from = server.events.length;
      server.hup();
      signalLeader(await server.expect(from, hasStarted), "SIGKILL");
      await server.settled(from);
    },
  },
  hang: {
    title: "a release that never becomes ready is rolled back",
    expected: "rolled-back",
    async happen(server) {
      const from = server.events.length;
      server.hup();
      const started = await server.expect(from, hasStarted);
      signalLeader(started, "SIGSTOP");
      const next = await server.expect(from, (e) => /^(generation\.ready|swap\.rolled-back)$/.test(e.event));
      // It was faster than we: a stopped process must not be left to serve.
      if (next?.event !== "swap.rolled-back") signalLeader(started, "SIGCONT");
      await server.settled(from);
    },
  },
  "warm-up": {
    title: "a release that dies after it was ready is rolled back",
    expected: "rolled-back",
    async happen(server) {
      const from = server.events.length;
      server.hup();
      const started = await server.expect(from, hasStarted);
      if (await server.expect(from, (e) => e.event === "generation.ready")) {
        await Bun.sleep(WARM_LIFE_MS);
        signalLeader(started, "SIGKILL");
      }
      await server.settled(from);
    },
  },
  storm: {
    title: `${STORM_HUPS} HUPs within a second: a generation younger than the last one serves`,
    expected: "swapped",
    async happen(server) {
      const from = server.events.length;
      for (let i = 0; i < STORM_HUPS; i++) {
        server.hup();
        await Bun.sleep(STORM_EVERY_MS);
      }
      await server.until(() => isAnswered(server, from, "storm"));
    },
  },
  phases: {
    title: "a HUP in each phase of a swap: a generation younger than the last one serves",
    expected: "swapped",
    async happen(server) {
      const from = server.events.length;
      server.hup();
      // While the first one's predecessor drains, then in the phases of the swap that this asks for.
      let since = from;
      for (const phase of ["swap.done", "generation.started", "generation.ready"]) {
        await server.expect(since, (e) => e.event === phase);
        since = server.events.length;
        await Bun.sleep(WITHIN_MS);
        server.hup();
      }
      await server.until(() => isAnswered(server, from, "phases"));
    },
  },
  kill: {
    title: "hupwatch is killed (-9): the service goes on, and its next start takes over",
    expected: "swapped",
    async happen(server) {
      await server.killHard();
      await Bun.sleep(ALONE_MS);
      const from = server.events.length;
      server.asks();
      server.launch();
      await server.settled(from);
    },
  },
};
