/** At each start of a generation, a warning of what its env file has that is no variable. Never the text: it may be a secret. */
import { HupwatchError } from "../error.ts";
import type { Log } from "../log.ts";
import { skippedLines } from "../plan/env-file.ts";
import type { Consume } from "./publish.ts";

export const envFileWarning =
  (envFile: string, log: Log): Consume =>
  (event) => {
    if (event.event !== "generation.started") return;
    const { generation } = event;
    const lines = skippedOrNone(envFile);
    if (lines.length === 0) return;
    const what = lines.length === 1 ? `line ${lines[0]} is` : `lines ${lines.join(", ")} are`;
    const text = `--env-file ${envFile}: ${what} no NAME=value and ${lines.length === 1 ? "was" : "were"} skipped`;
    log.warn("env-file.skipped", text, { generation, lines });
  };

/** It may have gone since the generation read it. */
function skippedOrNone(envFile: string): number[] {
  try {
    return skippedLines(envFile);
  } catch (error) {
    if (error instanceof HupwatchError) return [];
    throw error;
  }
}
