/**
 * Warns at each start of a generation of lines of its env file that are not variables, or that other readers of such files read
 * differently. It never shows the text, which may be a secret.
 */
import { HupwatchError } from "../error.ts";
import type { Log } from "../log.ts";
import type { Account } from "../os/setpriv.ts";
import { LINE_WARNINGS, type LineWarning, parseEnvFile } from "../plan/env-file.ts";
import type { Consume } from "./publish.ts";

export const envFileWarning =
  (envFile: string, account: Account, log: Log): Consume =>
  (event) => {
    if (event.event !== "generation.started") return;
    const { generation } = event;
    for (const [warning, lines] of warningsIn(envFile, account)) {
      const text = `--env-file ${envFile}: ${lines.length === 1 ? "line" : "lines"} ${lines.join(", ")}: ${LINE_WARNINGS[warning]}`;
      const facts = { generation, lines };
      if (warning === "skipped") log.warn("env-file.skipped", text, facts);
      else log.warn("env-file.doubtful", text, facts);
    }
  };

/** The lines of each; none of a file that has gone since the generation read it. */
function warningsIn(envFile: string, account: Account): Map<LineWarning, number[]> {
  const lines = new Map<LineWarning, number[]>();
  try {
    for (const { line, warning } of parseEnvFile(envFile, account).warnings)
      lines.set(warning, [...(lines.get(warning) ?? []), line]);
  } catch (error) {
    if (!(error instanceof HupwatchError)) throw error;
  }
  return lines;
}
