/** The last word of a command that failed: on stderr, if that is still read; then it ends all the same. */
import { realClock } from "../os/clock.ts";
import { LineWriter } from "../os/line-writer.ts";

export function complain(text: string): void {
  using stderr = new LineWriter(2, realClock, () => {});
  stderr.write(`${text}\n`);
}
