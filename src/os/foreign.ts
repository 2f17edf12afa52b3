/** A process that another process started and that outlived it: it cannot be waited for, only looked at. */

import { type Clock, poll } from "./clock.ts";
import { isRunning, isSame, type Leader } from "./procfs.ts";
import { sendSignal } from "./send-signal.ts";
import type { Child, ExitStatus } from "./spawn.ts";

/** Only survivors of another hupwatch are watched so, and only until the swap from them is done. */
const LOOK_MS = 50;

export function watchForeign(leader: Leader, clock: Clock): Child {
  const exited = Promise.withResolvers<ExitStatus>();
  poll(clock, LOOK_MS, () => {
    if (isRunning(leader)) return "more";
    exited.resolve({ code: undefined, signal: undefined });
    return "enough";
  });
  return {
    pid: leader.pid,
    startTime: leader.startTime,
    exited: exited.promise,
    kill(signal) {
      return isSame(leader) && sendSignal(leader.pid, signal as NodeJS.Signals);
    },
  };
}
