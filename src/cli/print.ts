/**
 * What a command says, in one place. A reader that has seen enough (`| head -1`) is not an error, and the exit code stays the
 * command's own: a script with `pipefail` asks whether it was swapped, not what was read. (The runtime ignores SIGPIPE, and
 * puts /dev/null where stdout was closed.)
 */
import { HupwatchError } from "../error.ts";
import { json, plainPage } from "../text.ts";

/** False where no process reads it. Throws HupwatchError where it cannot be written, as on a full disk. */
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
