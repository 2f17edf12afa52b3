/** `hupwatch hold`: new connections wait for the next generation, e.g. while a database is migrated. */
import { steering } from "./steering.ts";
import { duration, usage } from "./values.ts";

export const HOLD_OPTIONS = {
  for: {
    type: "string",
    value: "DUR",
    help: "(needed) wait so long for the word; then a fresh copy is started, and gets them",
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
    if (asked === undefined) throw usage("no --for", "say how long they may wait at most: --for 30s");
    return `ms=${Math.round(duration(asked, "--for", 1))}`;
  },
  good: "new connections wait",
  bad: "they cannot: a swap is under way, or the socket cannot be steered",
});
