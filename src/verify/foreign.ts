/** Any other way to reload: commands of the user's, run by `sh -c`; the server is one that the user started. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Process } from "../os/procfs.ts";
import type { RunClock } from "./clock.ts";
import type { Swap } from "./journal.ts";
import type { ReloadSubject } from "./plan.ts";
import type { Subject } from "./subject.ts";

const READY_EVERY_MS = 100;
/** A foreign server does not say when it flips or stops: the bursts meant for these instants are spread over the settling instead. */
const BURSTS_AFTER_MS = [0, 50, 150, 400, 1000];

export class ForeignServer implements Subject {
  onMoment: Subject["onMoment"];
  readonly signalsMs = [];
  readonly serving = undefined;
  readonly steered = undefined;
  readonly pid = undefined;
  readonly death = undefined;
  #swaps = 0;

  constructor(
    private readonly subject: ReloadSubject,
    private readonly target: string,
    private readonly swapTimeoutMs: number,
    private readonly clock: RunClock,
    private readonly folder: string,
  ) {}

  async start(): Promise<string> {
    return this.target;
  }

  async swap(): Promise<Swap[]> {
    this.#swaps++;
    const { reload, ready, settleMs } = this.subject;
    const swap: Swap = {
      ...{ kind: "swap", startMs: this.clock.now(), queued: false, outcome: "failed" },
      ...{
        execMs: undefined,
        readyMs: undefined,
        readyProven: undefined,
        decidedMs: undefined,
        stopMs: undefined,
        endMs: undefined,
      },
      ...{ why: undefined, from: this.#swaps, to: this.#swaps + 1 },
    };
    const deadline = performance.now() + this.swapTimeoutMs;
    this.onMoment?.("asked");
    swap.why = await this.#run(reload, deadline);
    if (swap.why === undefined && ready !== undefined) swap.why = await this.#until(ready, deadline);
    swap.readyMs = this.clock.now();
    const bursts = BURSTS_AFTER_MS.filter((ms) => ms < settleMs).map((ms) =>
      setTimeout(() => this.onMoment?.("stopping"), ms),
    );
    await Bun.sleep(settleMs);
    for (const timer of bursts) clearTimeout(timer);
    swap.endMs = this.clock.now();
    if (swap.why === undefined) swap.outcome = "swapped";
    return [swap];
  }

  chaos(): Promise<Swap[]> {
    throw new Error("no accidents are known for a foreign server");
  }

  remains(): Process[] {
    return [];
  }

  async stop(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}

  /** Runs it again and again until it exits 0; undefined then, else why not. */
  async #until(command: string, deadline: number): Promise<string | undefined> {
    for (;;) {
      const why = await this.#run(command, deadline);
      if (why === undefined || performance.now() >= deadline) return why;
      await Bun.sleep(READY_EVERY_MS);
    }
  }

  /** Undefined: it exited 0. Its output goes to a file, for it may leave a server behind that keeps it open. */
  async #run(command: string, deadline: number): Promise<string | undefined> {
    const path = join(this.folder, "reload.log");
    const file = openSync(path, "w");
    const child = Bun.spawn(["sh", "-c", command], {
      env: { ...process.env, VERIFY_SWAP: String(this.#swaps) },
      stdio: ["ignore", file, file],
      detached: true,
    });
    closeSync(file);
    const limit = setTimeout(() => child.kill("SIGKILL"), Math.max(0, deadline - performance.now()));
    await child.exited;
    clearTimeout(limit);
    if (child.exitCode === 0) return undefined;
    const said = readFileSync(path, "utf8").trim().split("\n").slice(-5).join("\n  ");
    const how = child.signalCode ? "was not over in time" : `exited with code ${child.exitCode}`;
    return `'${command}' ${how}${said ? `:\n  ${said}` : ""}`;
  }
}
