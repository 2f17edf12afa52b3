/** The real supervisor on a fake machine, and a journal of all that it does there, in order. */

import type { Failure, ServiceEvent } from "../../src/events/service-event.ts";
import type { RunPlan } from "../../src/plan/run-plan.ts";
import { parseStopSequence } from "../../src/plan/stop-sequence.ts";
import type { Check } from "../../src/ready/check.ts";
import type { Ending, Event } from "../../src/swap/machine.ts";
import { Supervisor } from "../../src/swap/supervisor.ts";
import { type FakeChild, FakeOs } from "./os.ts";
import { FakeHeld, type FakeListener } from "./sockets.ts";

export const PLAN: RunPlan = {
  name: "test",
  words: ["server"],
  releasePaths: { directories: [] },
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
  isHandoverRefused: false,
  passesBesides: false,
  isInterceptionRequested: false,
  unintercepted: undefined,
  checks: [],
  preflights: [],
  confirmMs: undefined,
  judge: undefined,
  keepMs: undefined,
  maxAgeMs: undefined,
  maxMemoryBytes: undefined,
  watchPath: undefined,
  watchStderr: false,
  configFiles: [],
  generationPidfile: undefined,
  runDir: undefined,
  extraListener: false,
  nonblocking: false,
  readyTimeoutMs: 60_000,
  isReadyTimeoutGiven: true,
  isReadinessGiven: false,
  warmupMs: 1000,
  stopSequence: parseStopSequence("TERM/30s/KILL"),
  hidesHandlers: false,
  maxDraining: 4,
  stopDelayMs: 0,
  respawn: undefined,
  killAtExit: true,
  keptConnections: "close",
};

export class Stage {
  readonly os = new FakeOs();
  readonly journal: string[] = [];
  /** Of each generation when it was last reported. */
  readonly ages = new Map<number, number | undefined>();
  /** The last one that was told. */
  failure: Failure | undefined;
  readonly held: FakeHeld;
  readonly supervisor: Supervisor;
  ending: Ending | undefined;
  readonly #passed = new Map<number, () => void>();

  constructor(plan: Partial<RunPlan> = {}, held?: (note: (what: string) => void) => FakeHeld) {
    const note = (what: string) => void this.journal.push(what);
    this.held = held?.(note) ?? new FakeHeld(note);
    const full = { ...PLAN, checks: [this.#byHand], ...plan };
    const tell = (event: ServiceEvent) => {
      note(line(event));
      if ("failure" in event) this.failure = event.failure;
      if ("ageMs" in event) this.ages.set(event.generation, event.ageMs);
    };
    this.supervisor = new Supervisor(full, [this.held], this.os, { tell, record: () => {} });
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
    void this.supervisor.run().then((ending) => {
      this.ending = ending;
    });
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

  /** Every process that runs, leaders and followers. */
  get running(): number[] {
    return this.os.children.flatMap((c) => [...(c.running ? [c.pid] : []), ...c.followers.map((f) => f.pid)]);
  }
}

/** An event as one short line, e.g. `swapped 2`, `SIGTERM 1`. */
function line(event: ServiceEvent): string {
  switch (event.event) {
    case "generation.started":
      return `start ${event.generation}`;
    case "generation.signalled":
      return `${event.signal} ${event.generation}${event.pids.length > 1 ? ` x${event.pids.length}` : ""}`;
    case "generation.left-behind":
      return `left behind ${event.generation}: ${event.processes.map((p) => p.pid).join(" ")}`;
    case "generation.rescued":
      return `rescued ${event.generation}: ${event.connections}`;
    case "generation.ready":
      return `ready ${event.generation}${event.doubt ? ", not proven" : ""}`;
    case "generation.serves":
      return `serving ${event.generation}`;
    case "swap.done":
      return `swapped ${event.generation}`;
    case "swap.queued":
      return "swap-queued";
    default:
      return `${event.event.replace(/^\w+\./, "")}${"generation" in event ? ` ${event.generation}` : ""}`;
  }
}
