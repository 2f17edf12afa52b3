/** Loads a silent server with more connections than this process may open: `sh -c 'ulimit -n 40; bun starved.ts TARGET'`. */
import { startLoad } from "../../src/load/engine.ts";
import { makePlan } from "../../src/load/plan.ts";
import { parseTarget } from "../../src/load/target.ts";
import { verdictOf } from "../../src/load/verdict.ts";

const target = parseTarget(process.argv[2] ?? "", "/");
const plan = makePlan(target, { mode: "fresh", connections: 80, requests: 80, timeoutMs: 200 });
const result = await startLoad(plan).done;
// Those that got a connection time out; without them only the generator failed.
const ownOnly = { ...result, failures: result.failures.filter((f) => f.class !== "timeout") };
console.log(
  JSON.stringify({ verdict: verdictOf(ownOnly), classes: result.failures.map((f) => f.class).toSorted() }),
);
process.exit(0);
