/** `hupwatch rollback`: the previous generation gets the clients back. */
import { steering } from "./steering.ts";

export default steering({
  name: "rollback",
  summary: "Give the clients back to the previous generation, at once (run --confirm, --keep).",
  usage: "[options] [TARGET]",
  options: {},
  examples: [
    {
      command: "hupwatch rollback shop",
      meaning: "during a swap, before it is confirmed, or while the old one is kept",
    },
  ],
  good: "rolled back: the previous generation has the clients",
  bad: "no generation is kept that could take them",
});
