/** Counting load through the balancer: quick requests on fresh connections, and a few that are long in flight. */
import type { LoadReport } from "../../../src/load/result.ts";
import { begin, type Done } from "../command.ts";
import { ROOT } from "../places.ts";
import { FRONT } from "./balancer.ts";
import type { Namespace } from "./network.ts";

/** Requests a second, and how many connections they may have. A dead host is found out after a second or two. */
const KINDS = [
  ["fresh", 60, 300],
  ["slow", 6, 60],
] as const;
const TIME_LIMIT_MS = 900_000;

export interface FleetLoad {
  end(): Promise<LoadReport[]>;
}

export async function startLoad(middle: Namespace): Promise<FleetLoad> {
  const loads = KINDS.map(([mode, rate, connections]) => {
    const limits = [
      "--rate",
      `${rate}`,
      "--connections",
      `${connections}`,
      "--duration",
      "1h",
      "--timeout",
      "30s",
    ];
    const words = [`${ROOT}/src/launcher.sh`, "load", "--json", "--mode", mode, ...limits, FRONT];
    return begin(middle.inside(words), { env: { HUPWATCH_BUN: process.execPath }, timeoutMs: TIME_LIMIT_MS });
  });
  for (const load of loads) await Promise.race([load.said, load.done.then(endedEarly)]);
  return {
    async end() {
      for (const load of loads) load.signal("SIGTERM");
      return Promise.all(loads.map(async ({ done }) => reportOf(await done)));
    },
  };
}

function endedEarly({ code, stderr }: Done): never {
  throw new Error(`the load ended by itself with code ${code}: ${stderr}`);
}

function reportOf({ code, stdout, stderr }: Done): LoadReport {
  // 1: some failed, which the report tells; 4: the generator was the limit, which it tells as well.
  if (![0, 1, 4].includes(code)) throw new Error(`hupwatch load: exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as LoadReport;
}
