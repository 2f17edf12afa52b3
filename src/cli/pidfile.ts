/** `--pidfile`: hupwatch's own pid for as long as it lives, replaced in one step, removed only while it is still ours. */
import { readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { HupwatchError } from "../error.ts";

export class PidFile implements Disposable {
  constructor(
    private readonly path: string,
    private readonly pid: number,
  ) {
    const beside = `${path}.${pid}`;
    try {
      writeFileSync(beside, `${pid}\n`, { flag: "wx", mode: 0o644 });
      renameSync(beside, path);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new HupwatchError("pidfile.unwritable", `cannot write --pidfile ${path}: ${why}`, {
        hint: "create its directory, or choose another path",
        cause,
      });
    }
  }

  [Symbol.dispose](): void {
    try {
      if (readFileSync(this.path, "latin1").trim() === String(this.pid)) unlinkSync(this.path);
    } catch {
      // Gone already, or somebody else's: not ours to remove.
    }
  }
}
