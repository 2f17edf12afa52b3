/**
 * `hupwatch demo` for the help, for completion, and for the single executable, which comes without it. Elsewhere the launcher
 * starts fixtures/demo itself.
 */
import { HupwatchError } from "../error.ts";
import { command } from "./command.ts";

export default command({
  name: "demo",
  summary: "Replace a small server repeatedly under load, then do the same without hupwatch.",
  usage: "[tiny|gunicorn] [options]",
  options: {
    swaps: { type: "string", value: "N", help: "how often", default: "5" },
    every: { type: "string", value: "SEC", help: "time between two HUPs", default: "3" },
    seconds: { type: "string", value: "N", help: "length of the run; --swaps follows from it" },
    rate: { type: "string", value: "N", help: "requests a second", otherwise: "1000; gunicorn 400" },
    naive: { type: "boolean", negated: true, help: "leave out the comparison" },
    json: { type: "boolean", help: "the whole result as JSON on stdout, progress on stderr" },
  },
  usageExitCode: 2,
  examples: [{ command: "hupwatch demo gunicorn", meaning: "the same with this machine's gunicorn" }],
  async run() {
    throw new HupwatchError("demo.absent", "the single executable comes without the demo", {
      exitCode: 3,
      hint: "run it from the package, 'bunx hupwatch demo', or from a clone, 'bun run demo'",
    });
  },
});
