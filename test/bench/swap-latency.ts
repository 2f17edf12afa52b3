/** What a client feels of a swap: real gunicorn, a new connection for each request, p99.9 in swaps and between them. */
import { prepareApp } from "../../fixtures/demo/apps.ts";
import { runBelowHupwatch } from "../../fixtures/demo/hupwatch-run.ts";
import { Place } from "../../fixtures/demo/place.ts";
import { Screen } from "../../fixtures/demo/screen.ts";
import { count, milliseconds } from "../../fixtures/demo/text.ts";
import { HupwatchError } from "../../src/error.ts";
import type { Row } from "./row.ts";

const WHAT = "in-swap p99.9 / steady p99.9, gunicorn, 2 workers";
const BUDGET = { dropped: 0, ratio: 2 };

export async function swapLatency(swaps: number): Promise<Row[]> {
  using place = new Place();
  try {
    const app = prepareApp("gunicorn", place);
    const pace = { swaps, everyMs: 4000, rate: 200 };
    const { signal } = new AbortController();
    const { load } = await runBelowHupwatch(app, pace, place, new Screen(process.stderr), signal);
    const p999 = (name: string) => load.segments.find((s) => s.name === name)?.latency.p999Us ?? Number.NaN;
    const [inSwap, steady] = [p999("swap"), p999("base")];
    const ratio = inSwap / steady;
    return [
      {
        what: "dropped requests, fresh connections, gunicorn",
        budget: "0",
        measured: `${count(load.failed)} of ${count(load.started)} in ${swaps} swaps`,
        met: load.failed <= BUDGET.dropped,
      },
      {
        what: WHAT,
        budget: `<= ${BUDGET.ratio}`,
        measured: `${ratio.toFixed(2)} (${milliseconds(inSwap)} / ${milliseconds(steady)} ms)`,
        met: ratio <= BUDGET.ratio,
      },
    ];
  } catch (error) {
    if (!(error instanceof HupwatchError && error.code === "demo.no-gunicorn")) throw error;
    return [{ what: WHAT, budget: `<= ${BUDGET.ratio}`, measured: error.message, met: undefined }];
  }
}
