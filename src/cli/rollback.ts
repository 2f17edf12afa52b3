/** `hupwatch rollback`: the generation before has the clients again. */
import { steering } from "./steering.ts";

export default steering({
  name: "rollback",
  summary: "Give the clients back to the generation before, at once (run --confirm, --keep).",
  usage: "[options] [TARGET]",
  options: {},
  examples: [
    {
      command: "hupwatch rollback shop",
      meaning: "in a swap, before it is confirmed, or while the old one is kept",
    },
  ],
  good: "rolled back: the generation before has the clients",
  bad: "no generation is kept that could have them",
});
