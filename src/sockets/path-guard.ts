/**
 * When a public Unix path is looked at, and what is reported of it. inotify on our own inode says at once that it has lost a name, and
 * costs nothing while nothing happens. While something is in the way, the path is looked at again and again. The owner looks at each event
 * in the life of its generations, too: without inotify only these looks remain.
 */
import { type FSWatcher, watch } from "node:fs";
import { HupwatchError } from "../error.ts";
import { lacks, orWithout } from "../os/aid.ts";
import type { PathNews } from "./held.ts";

/** What a look has found, and has done about it. */
export type Look =
  | { is: "ours" }
  /** It had gone, or had no listener. */
  | { is: "restored" }
  /** A process of a generation of ours had bound it for itself. */
  | { is: "taken-back"; pid: number }
  /** The listener has lost all its names: another one stands there, whose clients wait for the next generation. */
  | { is: "renewed" }
  /** `isSame`: cheap to ask, true as long as nothing has changed. */
  | { is: "blocked"; by: string; isSame?: () => boolean };

/** The runtime drops an event that comes within a millisecond of the last one of its kind. */
const UNHEARD_MS = 3;
const LOOK_AGAIN_MS = 10;
/** Where each look costs a connect to the one that has taken it. */
const LOOK_AGAIN_MS_MAX = 1000;

export class PathGuard implements Disposable {
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #blocked: Extract<Look, { is: "blocked" }> | undefined;
  #tell: (news: PathNews) => void = () => {};

  constructor(
    private readonly path: string,
    private readonly putBack: () => Look,
  ) {}

  /** Where it is told from now on, with what stands in the way already. */
  reportTo(tell: (news: PathNews) => void): void {
    this.#tell = tell;
    this.look();
  }

  /** Why clients do not reach the path; undefined while they do. */
  get trouble(): string | undefined {
    return this.#blocked?.by;
  }

  /** `name`: of the inode that the public path is to have. An aid: without it the path is looked at less often. */
  watch(name: string): void {
    this.#watcher?.close();
    const aid = {
      what: `watching ${this.path}`,
      loss: "if something unlinks it, only the next swap puts it back",
    };
    const begin = () => {
      const watcher = watch(name, { persistent: false }, () => {
        this.look();
        if (!this.#blocked) this.#lookLater({}, UNHEARD_MS);
      });
      return watcher.on("error", (error) => lacks(aid, error));
    };
    this.#watcher = orWithout(aid, begin, undefined);
  }

  /** Never throws: an obstacle is reported, and looked at again. */
  look(): void {
    clearTimeout(this.#timer);
    this.#take(this.#lookOnce(), LOOK_AGAIN_MS);
  }

  #lookOnce(): Look {
    try {
      return this.putBack();
    } catch (error) {
      return { is: "blocked", by: reasonOf(error) };
    }
  }

  #take(found: Look, againMs: number): void {
    const before = this.#blocked;
    const { path } = this;
    if (found.is === "blocked") {
      this.#blocked = found;
      if (before?.by !== found.by) this.#tell({ what: "taken", path, by: found.by });
      this.#lookLater(found, againMs);
      return;
    }
    this.#blocked = undefined;
    if (found.is !== "ours") this.#lookLater({}, UNHEARD_MS);
    if (found.is === "taken-back") this.#tell({ what: "taken-back", path, pid: found.pid });
    else if (found.is === "renewed") this.#tell({ what: "renewed", path });
    else if (found.is === "restored" || before)
      this.#tell({ what: "restored", path, ...(before ? { after: before.by } : {}) });
  }

  #lookLater(found: { isSame?: () => boolean }, againMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (found.isSame?.()) this.#lookLater(found, LOOK_AGAIN_MS);
      else this.#take(this.#lookOnce(), Math.min(2 * againMs, LOOK_AGAIN_MS_MAX));
    }, againMs);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }
}

/** Without what the messages of a start begin with. */
export const reasonOf = (error: unknown): string => {
  const { message } = error instanceof Error ? error : new Error(String(error));
  return error instanceof HupwatchError ? message.replace(/^cannot bind '[^']*': /, "") : message;
};
