/**
 * hupwatch as a user has it: the launcher, started with a command behind it, watched by its events, led by signals. Owns
 * that process and everything that comes of it, which it knows by a mark in the environment.
 */
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { HupwatchError } from "../error.ts";
import type { Process } from "../os/procfs.ts";
import { signalledWhenWeDie } from "../os/setpriv.ts";
import { ACCIDENTS } from "./chaos.ts";
import type { RunClock } from "./clock.ts";
import { EventFeed, type HupwatchEvent } from "./event-feed.ts";
import { targetOf } from "./held-target.ts";
import { type Swap, swapsOf } from "./journal.ts";
import { type ChaosKind, type HupwatchSubject, type VerifyPlan, wordOf } from "./plan.ts";
import { markedProcesses, signalProcess } from "./stock.ts";
import type { Moment, Subject } from "./subject.ts";

/** The launcher says where it is: built in, this file is elsewhere. */
const launcher = () => process.env.HUPWATCH_LAUNCHER ?? join(import.meta.dir, "../launcher.sh");
/** In the environment of everything that comes of this run. hupwatch strips HUPWATCH_*, so it is none of those. */
const MARK = "VERIFY_RUN";
const STOP_TIMEOUT_MS = 90_000;
const LAST_WORDS = 8;
/** After these, new connections are led to the generation that they name. */
const FLIPS: ReadonlySet<string> = new Set([
  ...["generation.serves", "generation.taken-over", "generation.ready", "swap.rolled-back"],
]);
const MOMENTS: Record<string, Moment> = {
  "generation.ready": "flipped",
  "swap.done": "decided",
  "swap.rolled-back": "decided",
  "generation.signalled": "stopping",
  "generation.gone": "gone",
};

export class HupwatchServer implements Subject {
  onMoment: Subject["onMoment"];
  onEvent: ((event: HupwatchEvent) => void) | undefined;
  steered: boolean | undefined;
  readonly signalsMs: number[] = [];
  /** What hupwatch and the command write, for people: nothing in it is believed. */
  readonly #log: string;
  readonly #runDir: string;
  readonly #feed: EventFeed;
  readonly #mark = crypto.randomUUID();
  #process: Bun.Subprocess | undefined;
  /** Those that wait for the next event or the end of the process. */
  #waiting: (() => void)[] = [];
  #stopping = false;
  #killed = false;

  constructor(
    private readonly plan: VerifyPlan,
    private readonly subject: HupwatchSubject,
    readonly clock: RunClock,
    folder: string,
    private readonly ledger: string,
  ) {
    this.#log = join(folder, "server.log");
    closeSync(openSync(this.#log, "a"));
    const ownRunDir = join(folder, "run");
    mkdirSync(ownRunDir, { mode: 0o700 });
    this.#runDir = resolve(wordOf(subject, "run-dir") ?? ownRunDir);
    if (wordOf(subject, "user") !== undefined && plan.ledger === undefined) openToOthers(folder, ledger);
    this.#feed = new EventFeed(this.#runDir);
    this.#feed.onEvent = (event) => {
      const moment = MOMENTS[event.event];
      if (moment) this.onMoment?.(moment, this.#leaderOf(event.generation));
      this.onEvent?.(event);
      this.#wake();
    };
  }

  get serving(): number | undefined {
    const flip = this.events.findLast((e) => FLIPS.has(e.event));
    return flip?.serving ?? flip?.generation;
  }

  #leaderOf(generation: number | undefined): number | undefined {
    return this.events.findLast((e) => e.event === "generation.started" && e.generation === generation)
      ?.child;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get events(): readonly HupwatchEvent[] {
    return this.#feed.events;
  }

  get death(): string | undefined {
    const process = this.#process;
    if (!process || this.#stopping || this.#killed) return undefined;
    const { exitCode, signalCode } = process;
    if (exitCode === null && signalCode === null) return undefined;
    const how = signalCode ? `was killed by ${signalCode}` : `exited with code ${exitCode}`;
    return `hupwatch ${how}${this.#lastWords()}`;
  }

  async start(): Promise<string> {
    const from = this.events.length;
    this.launch();
    const serves = await this.expect(from, (e) => e.event === "generation.serves");
    if (!serves)
      throw new HupwatchError(
        "verify.start",
        this.death ?? `the command was not ready in time${this.#lastWords()}`,
        {
          exitCode: 3,
          hint: `try it by hand: hupwatch ${[...this.subject.runWords, "--", ...this.subject.words].join(" ")}`,
        },
      );
    const held = this.events.filter((e) => e.event === "socket.held");
    if (held.length > 0) this.steered = held.every((e) => e.cutover === "steer");
    return this.plan.target ?? targetOf(held, this.plan.url);
  }

  /** Starts hupwatch, over survivors if there are any. */
  launch(): void {
    const file = openSync(this.#log, "a");
    this.#killed = false;
    const { runWords, words } = this.subject;
    const run = [...runWords, `--run-dir=${this.#runDir}`];
    this.#process = Bun.spawn(
      // A kill -9 of us is to end it, too: by QUIT, since TERM without -k would leave its service running.
      signalledWhenWeDie("QUIT", [launcher(), "run", ...run, "--", ...words]),
      {
        env: {
          ...process.env,
          HUPWATCH_BUN: process.execPath,
          VERIFY_LEDGER: this.ledger,
          [MARK]: this.#mark,
        },
        stdio: ["ignore", file, file],
        // Ctrl-C is for us: we end the load first, then the service.
        detached: true,
        onExit: () => this.#wake(),
      },
    );
    this.#feed.follow(this.#process.pid);
    closeSync(file);
  }

  swap(): Promise<Swap[]> {
    return this.#during("swap", async () => {
      const from = this.events.length;
      this.hup();
      await this.settled(from);
    });
  }

  chaos(kind: ChaosKind): Promise<Swap[]> {
    return this.#during(kind, () => ACCIDENTS[kind].happen(this));
  }

  /** Does it, and tells from the events which swaps came of it. */
  async #during(kind: Swap["kind"], act: () => Promise<void>): Promise<Swap[]> {
    const from = this.events.length;
    this.signalsMs.length = 0;
    await act();
    return this.swapsSince(from, kind);
  }

  swapsSince(from: number, kind: Swap["kind"]): Swap[] {
    const at = (event: HupwatchEvent) => this.clock.at(event.timeMs);
    return swapsOf(this.events.slice(from), { kind, signalsMs: this.signalsMs, at });
  }

  hup(): void {
    this.asks();
    this.#process?.kill("SIGHUP");
  }

  /** Notes that a swap is asked for now. */
  asks(): void {
    this.signalsMs.push(this.clock.now());
    this.onMoment?.("asked");
  }

  /** kill -9, and wait until it is gone: its lock is free then. */
  async killHard(): Promise<void> {
    this.#killed = true;
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  /** Waits until a swap is decided and the generation that lost is gone. False: not in time, or hupwatch is over. */
  async settled(from: number): Promise<boolean> {
    const decided = await this.expect(from, (e) => e.event === "swap.done" || e.event === "swap.rolled-back");
    if (!decided) return false;
    const loser = decided.event === "swap.done" ? decided.retired : decided.generation;
    return (
      (await this.expect(from, (e) => e.event === "generation.gone" && e.generation === loser)) !== undefined
    );
  }

  /** The first such event from number `from` on; undefined after the swap timeout, or where hupwatch ends before. */
  expect(from: number, match: (event: HupwatchEvent) => boolean): Promise<HupwatchEvent | undefined> {
    return this.until(() => this.events.slice(from).find(match));
  }

  /** Looks again after every event, until `look` finds something, time is up, or hupwatch is over. */
  async until<T>(look: () => T | undefined): Promise<T | undefined> {
    const deadline = performance.now() + this.plan.swapTimeoutMs;
    for (;;) {
      const found = look();
      const left = deadline - performance.now();
      if (found !== undefined || left <= 0 || this.death !== undefined) return found;
      const next = Promise.withResolvers<void>();
      this.#waiting.push(next.resolve);
      const timer = setTimeout(next.resolve, left);
      await next.promise;
      clearTimeout(timer);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const process = this.#process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    process.kill(this.subject.killAtExit ? "SIGTERM" : "SIGQUIT");
    const limit = setTimeout(() => process.kill("SIGQUIT"), STOP_TIMEOUT_MS);
    await process.exited;
    clearTimeout(limit);
  }

  remains(): Process[] {
    return markedProcesses(`${MARK}=${this.#mark}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    // hupwatch first, or it would put a new generation in the place of a killed one.
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    for (const process of this.remains()) signalProcess(process, "SIGKILL");
    this.#feed[Symbol.dispose]();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #lastWords(): string {
    const lines = readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-LAST_WORDS);
    return lines.join("") === "" ? "" : `:\n  ${lines.join("\n  ")}`;
  }
}

/** The value of a run option that is passed on. */
/** Another user's app can reach the ledger, and nothing else in the folder: a name that cannot be guessed leads to it. */
function openToOthers(folder: string, ledger: string): void {
  closeSync(openSync(ledger, "a"));
  chmodSync(ledger, 0o666);
  chmodSync(folder, 0o711);
}
