/** `hupwatch hold`: new connections wait for the next generation, e.g. while a database is migrated. */
import { steering } from "./steering.ts";
import { duration, usage } from "./values.ts";

export const HOLD_OPTIONS = {
  for: {
    type: "string",
    value: "DUR",
    help: "(needed) hold them for this long at most; then a fresh copy is started, and gets them",
  },
} as const;

export default steering({
  name: "hold",
  summary: "Let new connections wait for the next generation, which is not started yet.",
  usage: "--for DUR [options] [TARGET]",
  options: HOLD_OPTIONS,
  examples: [
    {
      command: "hupwatch hold --for 30s && ./migrate && hupwatch reload",
      meaning: "no request meets the old code and the new tables",
    },
  ],
  query: ({ for: asked }) => {
    if (asked === undefined)
      throw usage("no --for", "say how long connections may wait at most, e.g. --for 30s");
    return `ms=${Math.round(duration(asked, "--for", 1))}`;
  },
  good: "new connections wait",
  bad: "they cannot be held: a swap is under way, or the socket cannot be steered",
});
