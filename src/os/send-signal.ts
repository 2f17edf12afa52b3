/** kill(2). */
import { lacks } from "./aid.ts";

/** False where it has ended, and where the kernel refuses (EPERM): that is said. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    const isOver = (error as NodeJS.ErrnoException).code === "ESRCH";
    const aid = {
      what: `sending a signal to process ${pid}`,
      loss: "a stop signal is sent again; for another user's process root needs CAP_KILL",
    };
    if (!isOver) lacks(aid, error);
    return false;
  }
}
