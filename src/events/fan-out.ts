/** The supervisor tells one listener; this one tells several, each on its own. None of them may throw. */
import type { Listener } from "../swap/supervisor.ts";

export const fanOut = (listeners: readonly Partial<Listener>[]): Listener => ({
  started: (...facts) => tell(listeners, (l) => l.started?.(...facts)),
  signalled: (...facts) => tell(listeners, (l) => l.signalled?.(...facts)),
  leftBehind: (...facts) => tell(listeners, (l) => l.leftBehind?.(...facts)),
  rescued: (...facts) => tell(listeners, (l) => l.rescued?.(...facts)),
  report: (...facts) => tell(listeners, (l) => l.report?.(...facts)),
  changed: (...facts) => tell(listeners, (l) => l.changed?.(...facts)),
});

function tell(listeners: readonly Partial<Listener>[], one: (listener: Partial<Listener>) => void): void {
  for (const listener of listeners) one(listener);
}
