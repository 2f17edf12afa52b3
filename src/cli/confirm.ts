/** `hupwatch confirm`: the new generation stays. */
import { steering } from "./steering.ts";

export default steering({
  name: "confirm",
  summary: "Say that the new generation is good: the old one retires (run --confirm).",
  usage: "[options] [TARGET]",
  options: {},
  examples: [{ command: "./smoke-test && hupwatch confirm shop", meaning: "while 'hupwatch reload' waits" }],
  good: "confirmed",
  bad: "nothing waits to be confirmed",
});
