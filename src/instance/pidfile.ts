/** `--pidfile`, or the server's pid file: has hupwatch's own pid while it lives, is written in one step, and is removed only if it is still ours. */
import { lstatSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HupwatchError, systemReason } from "../error.ts";
import type { ServiceEvent } from "../events/service-event.ts";
import { Place, readSmall } from "../os/place.ts";

const PID_BYTES = 32;

export interface PidFilePlace {
  path: string;
  /** The command's user, if the path comes from the server's settings: hupwatch writes only where that user could. */
  chosenBy?: number | undefined;
}

/** Made in two steps: a bad place fails early, and a start that fails later has not replaced the file of a running hupwatch. */
export class PidFile implements Disposable {
  readonly #path: string;
  readonly #file: string;
  readonly #beside: string;
  #isPublished = false;

  /** Throws HupwatchError. */
  constructor(
    private readonly place: PidFilePlace,
    private readonly pid: number,
  ) {
    const { path, chosenBy } = place;
    this.#path = path;
    this.#file = basename(path);
    this.#beside = `${this.#file}.hupwatch-${pid}`;
    this.#try((place) => {
      if (chosenBy !== undefined) requireRights(place, this.#file, chosenBy);
      // All that could stop the rename later.
      if (lstatSync(place.at(this.#file), { throwIfNoEntry: false })?.isDirectory())
        throw Object.assign(new Error("it is a directory"), { code: "EISDIR" });
      try {
        writeFileSync(place.at(this.#beside), `${pid}\n`, { flag: "wx", mode: 0o644 });
      } catch (error) {
        // A full disk leaves it empty.
        if ((error as NodeJS.ErrnoException).code !== "EEXIST")
          rmSync(place.at(this.#beside), { force: true });
        throw error;
      }
    });
  }

  publish(): void {
    this.#try((place) => renameSync(place.at(this.#beside), place.at(this.#file)));
    this.#isPublished = true;
  }

  /**
   * A server that knows no other place (nginx) writes its own pid there when it starts, and removes the file when it ends; hupwatch writes
   * it again after both. Never fails: there will be a next time.
   */
  readonly consume = ({ event }: ServiceEvent): void => {
    if (!this.#isPublished || (event !== "generation.ready" && event !== "generation.gone")) return;
    try {
      using place = Place.open(dirname(this.#path));
      if (readSmall(place.at(this.#file), PID_BYTES)?.trim() === String(this.pid)) return;
      const { chosenBy } = this.place;
      if (chosenBy !== undefined) requireRights(place, this.#file, chosenBy);
      writeFileSync(place.at(this.#beside), `${this.pid}\n`, { flag: "wx", mode: 0o644 });
      renameSync(place.at(this.#beside), place.at(this.#file));
    } catch {
      // What is in the way the next start says.
    }
  };

  #try(step: (place: Place) => void): void {
    try {
      using place = Place.open(dirname(this.#path));
      step(place);
    } catch (cause) {
      const why = systemReason(cause);
      throw new HupwatchError("pidfile.unwritable", `cannot write the pid file ${this.#path}: ${why}`, {
        hint: wayOut(this.#path, cause),
        cause,
      });
    }
  }

  [Symbol.dispose](): void {
    try {
      using place = Place.open(dirname(this.#path));
      rmSync(place.at(this.#beside), { force: true });
      const file = place.at(this.#file);
      if (readSmall(file, PID_BYTES)?.trim() === String(this.pid)) unlinkSync(file);
    } catch {
      // Gone already, or another process's: not ours to remove.
    }
  }
}

function wayOut(path: string, cause: unknown): string {
  switch ((cause as NodeJS.ErrnoException).code) {
    case "EISDIR":
      return `name a file in it, e.g. ${join(path, "hupwatch.pid")}`;
    case "ENOENT":
      return "create its directory, or choose another path";
    case "ENOTDIR":
      return "correct the path: the part before its last '/' is not a directory";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "let this user write to its directory, or choose another path";
    default:
      return "choose another path";
  }
}

/** Those of open(2), as far as they matter for a place that a whole user's settings could have named. */
function requireRights(place: Place, file: string, user: number): void {
  const { uid } = place.stat();
  if (uid === user) return;
  if (!place.isOpenToAll())
    throw new Error(
      `its directory belongs to user ${uid}, and the command, which named it, runs as user ${user}`,
    );
  const there = lstatSync(place.at(file), { throwIfNoEntry: false });
  const isPid =
    there?.uid === process.getuid?.() && /^\d+\s*$/.test(readSmall(place.at(file), PID_BYTES) ?? "");
  if (there && there.uid !== user && !isPid) throw new Error(`it exists and belongs to user ${there.uid}`);
}
