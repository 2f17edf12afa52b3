/** `--pidfile`, or the server's: hupwatch's own pid for as long as it lives, put there in one step, removed only while it is still ours. */
import { readFileSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";

/** Made in two steps: trouble with the place shows early, and a start that fails later has not taken the file of who runs. */
export class PidFile implements Disposable {
  readonly #beside: string;

  constructor(
    private readonly path: string,
    private readonly pid: number,
  ) {
    this.#beside = `${path}.hupwatch-${pid}`;
    this.#try(() => {
      // All that could stop the rename later.
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw new Error("it is a directory");
      writeFileSync(this.#beside, `${pid}\n`, { flag: "wx", mode: 0o644 });
    });
  }

  publish(): void {
    this.#try(() => renameSync(this.#beside, this.path));
  }

  #try(step: () => void): void {
    try {
      step();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new HupwatchError("pidfile.unwritable", `cannot write the pid file ${this.path}: ${why}`, {
        hint: "create its directory, or choose another path",
        cause,
      });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#beside, { force: true });
    try {
      if (readFileSync(this.path, "latin1").trim() === String(this.pid)) unlinkSync(this.path);
    } catch {
      // Gone already, or somebody else's: not ours to remove.
    }
  }
}
