/** The real supervisor on a fake machine, and a journal of all that it does there, in order. */

import type { RunPlan } from "../../src/plan/run-plan.ts";
import { parseStopSequence } from "../../src/plan/stop-sequence.ts";
import type { Check } from "../../src/ready/check.ts";
import type { Ending, Event, Report } from "../../src/swap/machine.ts";
import { type Listener, Supervisor } from "../../src/swap/supervisor.ts";
import { type FakeChild, FakeOs } from "./os.ts";
import { FakeHeld, type FakeListener } from "./sockets.ts";

export const PLAN: RunPlan = {
  name: "test",
  words: ["server"],
  serverEnvironment: {},
  directory: "/srv",
  environment: {},
  user: undefined,
  group: undefined,
  umask: undefined,
  drainUntilIdleMs: 0,
  envFile: undefined,
  sockets: [],
  socketOptions: { backlog: 64 },
  cutover: "steer",
  handover: "systemd",
  checks: [],
  watchStderr: false,
  generationPidfile: undefined,
  runDir: undefined,
  extraListener: false,
  nonblocking: false,
  readyTimeoutMs: 60_000,
  warmupMs: 1000,
  stopSequence: parseStopSequence("TERM/30s/KILL"),
  maxDraining: 4,
  respawn: undefined,
  killAtExit: true,
};

export class Stage {
  readonly os = new FakeOs();
  readonly journal: string[] = [];
  /** Of each generation when it was last reported. */
  readonly ages = new Map<number, number | undefined>();
  readonly held: FakeHeld;
  readonly supervisor: Supervisor;
  ending: Ending | undefined;
  /** What made the supervisor give up: a bug. */
  bug: unknown;
  readonly #passed = new Map<number, () => void>();

  constructor(plan: Partial<RunPlan> = {}, held?: (note: (what: string) => void) => FakeHeld) {
    const note = (what: string) => void this.journal.push(what);
    this.held = held?.(note) ?? new FakeHeld(note);
    const full = { ...PLAN, checks: [this.#byHand], ...plan };
    this.supervisor = new Supervisor(full, [this.held], this.os, listening(note, this.ages));
  }

  /** Passes when the test says so. */
  readonly #byHand: Check = {
    label: "by hand",
    needs: [],
    start: ({ listeners }, passed) => {
      const { generation } = listeners[0] as FakeListener;
      this.#passed.set(generation, passed);
      return { [Symbol.dispose]: () => void this.#passed.delete(generation) };
    },
  };

  /** Starts it; the first generation boots. */
  async begin(): Promise<this> {
    this.supervisor.run().then(
      (ending) => {
        this.ending = ending;
      },
      (bug) => {
        this.bug = bug;
      },
    );
    await this.turn(0);
    return this;
  }

  /** The process of a generation. */
  child(generation: number): FakeChild {
    const child = this.os.children.findLast((c) => c.generation === generation);
    if (!child) throw new Error(`generation ${generation} was not started: ${this.journal.join(", ")}`);
    return child;
  }

  async ready(generation: number): Promise<void> {
    const passed = this.#passed.get(generation);
    if (!passed) throw new Error(`nobody asks whether ${generation} is ready: ${this.journal.join(", ")}`);
    passed();
    await this.turn(0);
  }

  async post(kind: "swap" | "leave" | "stop" | "quit"): Promise<void> {
    this.supervisor.post({ kind } satisfies Event);
    await this.turn(0);
  }

  async turn(ms: number): Promise<void> {
    await this.os.clock.turn(ms);
  }

  /** What has been written into the journal since the last look. */
  news(): string[] {
    return this.journal.splice(0);
  }

  /** Everybody that runs, leaders and followers. */
  get running(): number[] {
    return this.os.children.flatMap((c) => [...(c.running ? [c.pid] : []), ...c.followers.map((f) => f.pid)]);
  }
}

function listening(note: (what: string) => void, ages: Map<number, number | undefined>): Listener {
  const gens = (report: Report) => ("gen" in report ? ` ${report.gen}` : "");
  return {
    started: (gen) => note(`start ${gen}`),
    signalled: (gen, signal, pids) => note(`${signal} ${gen}${pids.length > 1 ? ` x${pids.length}` : ""}`),
    leftBehind: (gen, processes) => note(`left behind ${gen}: ${processes.map((p) => p.pid).join(" ")}`),
    rescued: (gen, connections) => note(`rescued ${gen}: ${connections}`),
    changed: () => {},
    report: (report, look) => {
      const generation = "gen" in report ? look(report.gen) : undefined;
      const isDoubtful = report.event === "ready" && generation?.isProven === false;
      note(`${report.event}${gens(report)}${isDoubtful ? ", not proven" : ""}`);
      if ("gen" in report) ages.set(report.gen, generation?.age);
    },
  };
}
