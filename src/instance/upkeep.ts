/**
 * Files in the run directory are made anew when something removes them: logind does at a user's last logout, and so do cleaners of /tmp.
 * Otherwise requests could not reach a running service, and a second start would not find its lock.
 */
import { type FSWatcher, statSync, watch } from "node:fs";
import { basename } from "node:path";
import { type Aid, lacks, orWithout } from "../os/aid.ts";
import type { Clock } from "../os/clock.ts";

/** A directory is removed file by file, and our own writes wake us, too. */
const LOOK_MS = 200;
/** Of one instance, below its name. */
const FILE_OF_ONE = /\.(?:lock|sock|keeper|json|json\.new)$/;

export class Upkeep implements Disposable {
  #watcher: FSWatcher | undefined;
  #watched: number | undefined;
  #look: Disposable | undefined;
  readonly #aid: Aid;

  /** `restore` makes what is missing; true where something was. It may throw. */
  constructor(
    private readonly runDir: string,
    private readonly name: string,
    private readonly clock: Clock,
    private readonly restore: () => boolean,
  ) {
    this.#aid = {
      what: `watching ${runDir}`,
      loss: "files that are removed there are made anew only at the next swap, if possible",
    };
    // The runtime takes 3 ms of CPU for its first watch: the command is started before, and what ends at once needs none.
    this.look();
  }

  /** Also without a watch: to be called when something has happened. */
  readonly look = (): void => {
    this.#look ??= this.clock.after(LOOK_MS, () => {
      this.#look = undefined;
      // What is removed before the watch stands is seen by the look behind it.
      this.#watch();
      const wasMissing = orWithout(this.#aid, this.restore, false);
      // What came between is seen then.
      if (wasMissing) this.look();
    });
  };

  /** With hundreds of instances in one directory, each would be woken by the writes of all others. */
  readonly #hear = (_: string, file: string | null): void => {
    const isOurs = !file || file.startsWith(`${this.name}.`) || file === basename(this.runDir);
    if (isOurs || !FILE_OF_ONE.test(file)) this.look();
  };

  #watch(): void {
    const inode = statSync(this.runDir, { throwIfNoEntry: false })?.ino;
    if (inode === this.#watched || inode === undefined) return;
    this.#watcher?.close();
    this.#watched = inode;
    const begin = () => watch(this.runDir, { persistent: false }, this.#hear);
    this.#watcher = orWithout(this.#aid, begin, undefined);
    this.#watcher?.on("error", (error) => lacks(this.#aid, error));
  }

  [Symbol.dispose](): void {
    this.#look?.[Symbol.dispose]();
    this.#watcher?.close();
  }
}
