/** hupwatch around a command that costs next to nothing, so that what is measured is hupwatch. */
import { existsSync, readFileSync } from "node:fs";
import { Place } from "../../fixtures/demo/place.ts";
import { Wrapped } from "../../fixtures/demo/wrapped.ts";

export interface Light extends AsyncDisposable {
  hupwatch: Wrapped;
  place: Place;
  /** HUP, and wait until the old generation is gone. */
  swap(): Promise<void>;
}

/** `wrapped`: options, `--` and the command, given the place. Resolves when the first generation serves. */
export async function startLight(wrapped: (place: Place) => string[]): Promise<Light> {
  const place = new Place();
  const { signal } = new AbortController();
  place.deploy(1);
  try {
    const hupwatch = await Wrapped.start({ cwd: place.path, wrapped: wrapped(place) }, place, signal);
    return {
      hupwatch,
      place,
      async swap() {
        hupwatch.hup();
        await hupwatch.idle(signal);
      },
      async [Symbol.asyncDispose]() {
        await hupwatch[Symbol.asyncDispose]();
        place[Symbol.dispose]();
      },
    };
  } catch (error) {
    place[Symbol.dispose]();
    throw error;
  }
}

/** Is ready at once and stays; waits in one process that takes less than a megabyte. */
export const SLEEPER = ["sleep", "infinity"];

/** Milliseconds since 1970 to the microsecond: Date.now() has whole ones only. */
export function preciseNow(): number {
  return performance.now() + offset;
}

const offset = wallOffset();

/** performance.timeOrigin is not adjusted when the wall clock is; the tick of Date.now() tells what it is now. */
function wallOffset(): number {
  const first = Date.now();
  let tick = Date.now();
  while (tick === first) tick = Date.now();
  return tick - performance.now();
}

/** What the command noted, a line each; none where it noted nothing yet. */
export const notes = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
