/** Files that load and verify are asked to write. */
import { closeSync, openSync } from "node:fs";
import { HupwatchError } from "../error.ts";

/** Checked before minutes of load, not after. `-` is stdout. Throws HupwatchError, exit code 3. */
export function requireWritable(file: string | undefined): void {
  if (file === undefined || file === "-") return;
  try {
    closeSync(openSync(file, "a"));
  } catch (cause) {
    throw new HupwatchError("report.unwritable", `cannot write ${file}`, {
      exitCode: 3,
      hint: "name a file in a directory that exists and may be written to",
      cause,
    });
  }
}

/** Throws HupwatchError, exit code 3. Call it only after the verdict is printed. */
export async function writeReport(file: string, text: string): Promise<void> {
  try {
    await Bun.write(file, text);
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw unwritten(file, why, cause);
  }
}

export const unwritten = (file: string, why: string, cause?: unknown) =>
  new HupwatchError("report.unwritten", `cannot write ${file}: ${why}`, {
    exitCode: 3,
    hint: "make room for it, or name a file elsewhere; the verdict is printed above",
    cause,
  });
