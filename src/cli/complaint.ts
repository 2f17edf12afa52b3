/** Writes why a command failed to stderr, and does not wait if nothing reads it. */
import { realClock } from "../os/clock.ts";
import { LineWriter } from "../os/line-writer.ts";

export function complain(text: string): void {
  using stderr = new LineWriter(2, realClock, () => {});
  stderr.write(`${text}\n`);
}
