/** What a result means to a script. */
import { FAILURE_CLASSES } from "./outcome.ts";
import type { LoadReport } from "./result.ts";

/** `limited`: the generator was the limit, so that the run proves nothing either way. */
export type Verdict = "clean" | "failures" | "limited";

/** A failure that the server has to answer for is one, however well or badly the generator did. */
export function verdictOf(r: LoadReport): Verdict {
  const servers = r.failures.filter((f) => FAILURE_CLASSES[f.class].blame !== "generator");
  if (servers.length > 0 || r.unaskedBytes > 0) return "failures";
  return r.generator.limited ? "limited" : "clean";
}
