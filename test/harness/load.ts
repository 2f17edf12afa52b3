/** Load from the tests' client in a process of its own: `const load = await startLoad({ target })`, `await load.stop()`. */
import type { ClientOptions } from "./client.ts";
import type { LoadReport } from "./tally.ts";
import { until } from "./until.ts";

interface Progress {
  ok: number;
  failed: number;
  underWay: number;
  versions: string[];
  /** Unix time: what is read here was so then. */
  atMs: number;
}

export interface LoadOptions extends ClientOptions {
  /** With `afterFirstOk`: how long startLoad waits for it; default that of `until`. */
  firstOkWithinMs?: number;
}

export class Load implements AsyncDisposable {
  #progress: Progress = { ok: 0, failed: 0, underWay: 0, versions: [], atMs: 0 };
  #report: LoadReport | undefined;
  #reading: Promise<void>;

  constructor(private process: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#reading = this.#read();
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** Waits for so many more good answers than there are now: the service is alive. */
  async more(answers: number, timeoutMs?: number): Promise<void> {
    const nowMs = Date.now();
    await this.#until(() => this.#progress.atMs > nowMs, "the load to say how far it is", timeoutMs);
    const wanted = this.#progress.ok + answers;
    await this.#until(() => this.#progress.ok >= wanted, `${answers} more answers`, timeoutMs);
  }

  /** Waits until so many requests are under way at once: with a rate, clients wait for a server that does not answer. */
  async waiting(requests: number, timeoutMs?: number): Promise<void> {
    await this.#until(() => this.#progress.underWay >= requests, `${requests} requests under way`, timeoutMs);
  }

  /** Waits for the first answer of a version. */
  async version(name: string, timeoutMs?: number): Promise<void> {
    await this.#until(
      () => this.#progress.versions.includes(name),
      `an answer of version ${name}`,
      timeoutMs,
    );
  }

  async stop(): Promise<LoadReport> {
    this.process.stdin.end();
    await this.process.exited;
    await this.#reading;
    if (!this.#report) throw new Error("the load process ended without a report");
    return this.#report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.exited;
  }

  async #until(look: () => boolean, what: string, timeoutMs?: number): Promise<void> {
    const context = () => JSON.stringify(this.#progress);
    await until(look, { what, context, ...(timeoutMs ? { timeoutMs } : {}) });
  }

  async #read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of this.process.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const said = JSON.parse(line) as { progress?: Progress; report?: LoadReport };
        if (said.progress) this.#progress = said.progress;
        if (said.report) this.#report = said.report;
      }
    }
  }
}

/** With `afterFirstOk` it resolves once counting has begun. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const { firstOkWithinMs, ...client } = options;
  const load = new Load(
    Bun.spawn([process.execPath, `${import.meta.dir}/client-main.ts`, JSON.stringify(client)], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
  );
  if (!client.afterFirstOk) return load;
  try {
    await load.more(1, firstOkWithinMs);
    return load;
  } catch (error) {
    await load[Symbol.asyncDispose]();
    throw error;
  }
}
