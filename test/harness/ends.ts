/** Ways in which a hupwatch ends and leaves its service to the next one. */
import { expect } from "bun:test";
import type { Hupwatch } from "./hupwatch.ts";
import { LOG } from "./log-lines.ts";

/** `next`: the generation that a swap in it leads to. */
export type End = (hupwatch: Hupwatch, next: number) => Promise<void>;

const kill: End = async (hupwatch) => {
  hupwatch.signal("SIGKILL");
  await hupwatch.exited;
};

const killAt =
  (line: (next: number) => RegExp): End =>
  async (hupwatch, next) => {
    hupwatch.hup();
    await hupwatch.until(line(next));
    await kill(hupwatch, next);
  };

export const ENDS = {
  "kill -9": kill,
  TERM: async (hupwatch) => {
    hupwatch.signal("SIGTERM");
    expect(await hupwatch.exited).toBe(0);
  },
  "kill -9 while the next one boots": killAt(LOG.started),
  "kill -9 while it warms up": killAt(LOG.ready),
  "kill -9 while the old one drains": killAt((next) => LOG.retired(next - 1)),
  "kill -9 after a swap": async (hupwatch, next) => {
    await hupwatch.swap(next);
    await kill(hupwatch, next);
  },
} satisfies Record<string, End>;
