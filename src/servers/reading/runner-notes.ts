/** What to tell of a runner that stays as a process between hupwatch and the server. */
import type { Handover } from "../../sockets/handover.ts";
import type { Recognised } from "./recognise.ts";

export function runnerNotes({ program }: Recognised, handover: Handover): string[] {
  const { runner, name } = program;
  if (!runner) return [];
  const lost =
    handover === "systemd"
      ? `and ${name} takes sockets only for its own pid`
      : `and signals reach ${name} only as it passes them on`;
  return [`'${runner}' stays as a process of its own, ${lost}: run ${name} by its own path instead`];
}
