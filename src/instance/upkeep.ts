/**
 * Files in the run directory are made anew when something removes them: logind does at a user's last logout, and so do cleaners of /tmp.
 * Otherwise requests could not reach a running service, and a second start would not find its lock.
 *
 * The files are watched, never the directory: all instances of a user have the same one, and each would be woken by what the others
 * write there. A directory that is moved as a whole wakes none of them: the look after the next change of the service finds it.
 */
import { existsSync, type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import { type Aid, lacks, orWithout } from "../os/aid.ts";
import type { Clock } from "../os/clock.ts";

/** A directory is removed file by file, and our own writes wake us, too. */
const LOOK_MS = 200;

export class Upkeep implements Disposable {
  readonly #files: readonly string[];
  /** Undefined: it cannot be watched, which is not tried again. */
  readonly #watchers = new Map<string, FSWatcher | undefined>();
  #look: Disposable | undefined;
  readonly #aid: Aid;

  /** `restore` makes what is missing. It may throw. */
  constructor(
    runDir: string,
    name: string,
    private readonly clock: Clock,
    private readonly restore: () => void,
  ) {
    this.#files = ["lock", "sock", "json"].map((kind) => join(runDir, `${name}.${kind}`));
    this.#aid = {
      what: `watching the files in ${runDir}`,
      loss: "files that are removed there are made anew only at the next swap, if possible",
    };
    // The runtime takes 3 ms of CPU for its first watch: the command is started before, and what ends at once needs none.
    this.look();
  }

  /** Also without a watch: to be called when something has happened. */
  readonly look = (): void => {
    this.#look ??= this.clock.after(LOOK_MS, () => {
      this.#look = undefined;
      for (const file of this.#unwatched()) this.#watch(file);
      // What is removed before the watch stands is seen by this look behind it.
      orWithout(this.#aid, this.restore, undefined);
      // What was made anew has no watch yet.
      if (this.#unwatched().length > 0) this.look();
    });
  };

  #unwatched = (): string[] => this.#files.filter((file) => !this.#watchers.has(file) && existsSync(file));

  #watch(file: string): void {
    // By its inode: another file stands at the path after each event, or may.
    const heard = () => {
      this.#watchers.get(file)?.close();
      this.#watchers.delete(file);
      this.look();
    };
    const begin = () => watch(file, { persistent: false }, heard);
    const watcher = orWithout(this.#aid, begin, undefined);
    watcher?.on("error", (error) => lacks(this.#aid, error));
    this.#watchers.set(file, watcher);
  }

  [Symbol.dispose](): void {
    this.#look?.[Symbol.dispose]();
    for (const watcher of this.#watchers.values()) watcher?.close();
  }
}
