/** All latencies of the swaps' stage as HdrHistogram's percentile text, in milliseconds: what its plotter reads. */
import { merged } from "../load/tally.ts";
import type { Evidence } from "./evidence.ts";

export function spectrumOf({ stages }: Evidence): string {
  const runs = stages.filter((s) => s.name === "swaps").flatMap((s) => s.runs);
  return merged(runs.map((run) => run.result.histograms.latency)).outputPercentileDistribution(5, 1000);
}
