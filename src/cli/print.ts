/**
 * The output of all commands. A reader that stops early (`| head -1`) is not an error, and does not change the exit code: a script
 * with `pipefail` wants to know whether it was swapped. (The runtime ignores SIGPIPE, and opens /dev/null if stdout was closed.)
 */
import { HupwatchError } from "../error.ts";
import { json, plainPage } from "../text.ts";

/** False if no process reads it. Throws HupwatchError if it cannot be written, as on a full disk. */
export async function print(text: string, stream: "stdout" | "stderr" = "stdout"): Promise<boolean> {
  try {
    await Bun.write(Bun[stream], plainPage(text));
    return true;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EPIPE") return false;
    throw new HupwatchError("output.failed", `cannot write to ${stream}: ${message}`, {
      hint: `make room where ${stream} goes; the command itself has done its work`,
      cause,
    });
  }
}

/** A line of JSON, for a program. */
export const printJson = (value: unknown): Promise<boolean> => print(`${json(value)}\n`);
