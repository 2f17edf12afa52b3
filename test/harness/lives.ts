/**
 * One command line that is started again and again, as a supervisor does with a hupwatch that died: all its lives share
 * a run directory, and each has a log and a process tree of its own.
 */
import { type Hupwatch, type StartOptions, spawnHupwatch } from "./hupwatch.ts";
import { LOG } from "./log-lines.ts";
import { type TempDir, tempDir, until } from "./until.ts";

export class Lives implements AsyncDisposable {
  readonly #runDir: TempDir = tempDir();
  readonly #all: Hupwatch[] = [];

  constructor(
    private readonly args: string[],
    private readonly options: StartOptions = {},
  ) {}

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
  async assertAlone(hupwatch: Hupwatch, timeoutMs = 20_000): Promise<void> {
    const left = () =>
      this.#all
        .filter((other) => other !== hupwatch)
        .flatMap((other) => other.tree())
        .filter(({ state, ppid }) => state !== "Z" || ppid === hupwatch.pid)
        .map(({ pid, state, command }) => `${pid} ${state} ${command}`);
    await until(() => left().length === 0, {
      timeoutMs,
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
