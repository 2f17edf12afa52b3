/** The warning of a runner that stays as a process between hupwatch and the server. */
import type { Recognised } from "./recognise.ts";

export function runnerNotes({ program }: Recognised): string[] {
  const { runner, name } = program;
  if (!runner) return [];
  return [
    `'${runner}' stays as a process of its own, and signals reach ${name} only if it passes them on: run ${name} by its own path instead`,
  ];
}
