/**
 * One command line that is started again and again, as a supervisor does with a hupwatch that died: all its lives share
 * a run directory, and each has a log and a process tree of its own.
 */
import { readdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { StoredState } from "../../src/instance/state-file.ts";
import { type Hupwatch, type StartOptions, spawnHupwatch } from "./hupwatch.ts";
import { LOG } from "./log-lines.ts";
import { type TempDir, tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** Of intercepted commands: it outlives its hupwatch with the service, and goes from one hupwatch to the next. */
export const KEEPER = /intercept\/entry\.ts keep /;

export class Lives implements AsyncDisposable {
  readonly #runDir: TempDir = tempDir();
  readonly #all: Hupwatch[] = [];

  constructor(
    private readonly args: string[],
    private readonly options: StartOptions = {},
  ) {}

  /** What the next start will read, as it is now; changed by `edit`, as a death at another moment would have left it. */
  state(edit: (state: StoredState) => void = () => {}): StoredState {
    const path = this.#stateFile();
    const state = JSON.parse(readFileSync(path, "utf8")) as StoredState;
    const before = JSON.stringify(state);
    edit(state);
    const after = JSON.stringify(state);
    if (after !== before) writeFileSync(path, after);
    return state;
  }

  /** Resolves within the millisecond in which the state file says so. */
  async noted(says: (state: StoredState) => boolean): Promise<void> {
    const told = Promise.withResolvers<void>();
    const look = () => {
      if (says(this.state())) told.resolve();
    };
    const watcher = watch(dirname(this.#stateFile()), look);
    try {
      look();
      await told.promise;
    } finally {
      watcher.close();
    }
  }

  #stateFile(): string {
    const files = readdirSync(this.#runDir.path, { recursive: true, encoding: "utf8" });
    const [file, ...more] = files.filter((name) => name.endsWith(".json"));
    if (!file || more.length > 0) throw new Error(`not one state file: ${files.join(" ")}`);
    return `${this.#runDir.path}/${file}`;
  }

  /** Does not wait for anything. */
  spawn(args = this.args): Hupwatch {
    const env = { XDG_RUNTIME_DIR: this.#runDir.path, ...this.options.env };
    const hupwatch = spawnHupwatch(args, { ...this.options, env });
    this.#all.push(hupwatch);
    return hupwatch;
  }

  /** Resolves when some generation serves under the new hupwatch and all that was before is gone. */
  async start(args = this.args): Promise<Hupwatch> {
    const hupwatch = this.spawn(args);
    await hupwatch.until(LOG.servesAny);
    await this.assertAlone(hupwatch);
    return hupwatch;
  }

  /** Never two masters: waits until nothing lives that another life started. */
  async assertAlone(hupwatch: Hupwatch): Promise<void> {
    const left = () => {
      // What an earlier life's keeper has started for this one is below that keeper, and has this one's mark.
      const own = new Set(hupwatch.tree().map(({ pid }) => pid));
      return this.#all
        .filter((other) => other !== hupwatch)
        .flatMap((other) => other.tree())
        .filter(({ state, ppid }) => state !== "Z" || ppid === hupwatch.pid)
        .filter(({ pid, command }) => !own.has(pid) && !KEEPER.test(command))
        .map(({ pid, state, command }) => `${pid} ${state} ${command}`);
    };
    await until(() => left().length === 0, {
      what: "everything of earlier lives to be gone",
      context: () => `${left().join("\n")}\n${this.log}`,
    });
  }

  /** Of all lives. */
  get log(): string {
    return this.#all.map((hupwatch, life) => `--- life ${life + 1} ---\n${hupwatch.log}`).join("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const hupwatch of this.#all) await hupwatch[Symbol.asyncDispose]();
    this.#runDir[Symbol.dispose]();
  }
}
