/** The faults that the tests made, what clients saw of them and what hupwatch said: a row each, where $HUPWATCH_TABLE names a file. */
import { appendFileSync } from "node:fs";
import type { LoadReport } from "./tally.ts";

/** `said` is searched for in `log`; the whole line is what goes into the table. */
export function record(fault: string, report: LoadReport, log: string, said: RegExp): void {
  const file = process.env.HUPWATCH_TABLE;
  if (!file) return;
  const line = log.split("\n").find((l) => said.test(l)) ?? "";
  const words = line.replace(/^\S+ hupwatch\[\d+\] /, "").replaceAll("|", "\\|");
  appendFileSync(file, `| ${fault} | ${report.sent} | ${report.failed} | ${words} |\n`);
}
