/** A process that another process started and that outlived it: it cannot be waited for, only looked at. */

import { type Clock, poll } from "./clock.ts";
import { type Identity, isRunning, isSame } from "./procfs.ts";
import { sendSignal } from "./send-signal.ts";
import type { Child, ExitStatus } from "./spawn.ts";

/** Only survivors of another hupwatch are watched so, and only until the swap from them is done. */
const LOOK_MS = 50;

export function watchForeign(identity: Identity, clock: Clock): Child {
  const exited = Promise.withResolvers<ExitStatus>();
  poll(clock, LOOK_MS, () => {
    if (isRunning(identity)) return "more";
    exited.resolve({ code: undefined, signal: undefined });
    return "enough";
  });
  return {
    pid: identity.pid,
    startTime: identity.startTime,
    exited: exited.promise,
    kill(signal) {
      return isSame(identity) && sendSignal(identity.pid, signal as NodeJS.Signals);
    },
  };
}
