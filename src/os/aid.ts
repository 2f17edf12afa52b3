/**
 * Aids that may be lacking: a watch, a count, a look at one of the kernel's tables. If one is lacking, that is reported once, and the
 * step goes on without it. The same holds for a bug.
 */

/** `what` is not possible (a gerund: "watching /run/app.sock"), and so `loss`. */
export interface Aid {
  what: string;
  loss: string;
}

type Hear = (aid: Aid, why: string) => void;

const said = new Set<string>();
let hear: Hear | undefined;

/** Until disposed of. What was lacking before is not reported. */
export function hearOfLackingAids(subscriber: Hear): Disposable {
  hear = subscriber;
  return {
    [Symbol.dispose]: () => {
      hear = undefined;
      said.clear();
    },
  };
}

export function orWithout<T>(aid: Aid, use: () => T, otherwise: T): T {
  try {
    return use();
  } catch (error) {
    lacks(aid, error);
    return otherwise;
  }
}

export function lacks(aid: Aid, error: unknown): void {
  if (!hear || said.has(aid.what)) return;
  said.add(aid.what);
  hear(aid, error instanceof Error ? error.message : String(error));
}

let hearBug: (bug: unknown) => void = throwUncaught;

/** Until disposed of; else a bug is an uncaught error. */
export function hearOfBugs(listener: (bug: unknown) => void): Disposable {
  hearBug = listener;
  return {
    [Symbol.dispose]: () => {
      hearBug = throwUncaught;
    },
  };
}

function throwUncaught(bug: unknown): void {
  queueMicrotask(() => {
    throw bug;
  });
}

/** Reports a bug; the caller goes on. */
export const tellBug = (bug: unknown): void => hearBug(bug);
