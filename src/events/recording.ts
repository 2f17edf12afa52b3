/** The state file's ear: after every change, who runs and what they hold, for whoever has to take over. */

import type { StateFile } from "../instance/state-file.ts";
import { processOf } from "../os/procfs.ts";
import type { Listener } from "../swap/supervisor.ts";

export function recording(state: StateFile, name: string): Pick<Listener, "changed"> {
  const hupwatch = { pid: process.pid, startTime: processOf(process.pid)?.startTime ?? 0 };
  return {
    changed: ({ last, generations }) => state.write({ version: 1, name, hupwatch, last, generations }),
  };
}
