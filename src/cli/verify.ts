/** `hupwatch verify`: reads the options, has the swaps done and judged, writes the reports. */
import { FailureLog } from "../load/failure-log.ts";
import { conduct, type Progress } from "../verify/conductor.ts";
import type { Evidence } from "../verify/evidence.ts";
import type { VerifyPlan } from "../verify/plan.ts";
import { makeReport, type VerifyReport } from "../verify/report.ts";
import { renderProgress, renderVerdict } from "../verify/terminal.ts";
import { command } from "./command.ts";
import { print, printJson } from "./print.ts";
import { ProgressLine } from "./progress-line.ts";
import { requireWritable, unwritten, writeReport } from "./report-file.ts";
import { untilInterrupted } from "./signals.ts";
import { VERIFY_OPTIONS } from "./verify-options.ts";
import { planVerify, type VerifyValues } from "./verify-plan.ts";

const EPILOGUE = `CHAOS

  crash    the new release is killed while it boots: rolled back, no client notices
  hang     it never becomes ready: rolled back at --ready-timeout
  warm-up  it is killed while it serves beside the old one: rolled back; the requests that it had are lost with it
  storm    10 HUPs within a second: all answered by one or two swaps
  phases   a HUP while the new one boots, in its warm-up, and while the old one drains: none is lost
  kill     hupwatch is killed (-9) and started again: it takes over the service that it left

  An app that keeps the contract answers POST /upload with {"bytes", "sha256", "id"} of the body and X-Request-Id.
  It says in X-Version which generation it is, and appends the X-Request-Id of each POST that it has executed to
  the file in $VERIFY_LEDGER.

EXIT CODES

  0  nothing dropped, every check passed
  1  a check failed
  2  usage
  3  set-up failed: the command did not start, no process listens
  4  inconclusive: the generator was the limit, it was interrupted, or nothing shows that anything was replaced`;

export default command({
  name: "verify",
  summary: "Prove that swaps drop nothing: drive load, swap many times, judge, report.",
  usage: "[options] -- command [args...]",
  options: VERIFY_OPTIONS,
  usageExitCode: 2,
  wraps: true,
  examples: [
    {
      command: "hupwatch verify --swaps 50 -- gunicorn app:app --bind unix:/tmp/app.sock",
      meaning: "50 swaps under fresh and kept connections",
    },
    {
      command: "hupwatch verify --chaos --html report.html -- gunicorn app:app --bind 127.0.0.1:8000",
      meaning: "bad releases, too, and the report as a page",
    },
    {
      command: "hupwatch verify --target unix:/run/app.sock --reload 'systemctl reload app'",
      meaning: "judge any other reload of a server that is already running",
    },
  ],
  epilogue: EPILOGUE,
  async run({ values, positionals }) {
    const plan = planVerify(values, positionals);
    for (const file of [values.json, values.junit, values.html, values.hgrm, values.failures])
      requireWritable(file);
    using failures = values.failures === undefined ? undefined : new FailureLog(values.failures);
    const evidence = await conductShowing(plan, values.quiet === true, failures);
    const report = makeReport(evidence);
    if (values.json === "-") await printJson(report);
    else await print(renderVerdict(report));
    await writeReports(values, report, evidence);
    if (failures?.problem) throw unwritten(values.failures ?? "", failures.problem);
    return report.exitCode;
  },
});

async function conductShowing(plan: VerifyPlan, quiet: boolean, failures?: FailureLog): Promise<Evidence> {
  using interrupt = untilInterrupted({ signals: ["SIGINT", "SIGTERM"] });
  using line = quiet ? undefined : new ProgressLine();
  const show = (progress: Progress) => line?.show(renderProgress(progress));
  const progress = line && { everyMs: line.everyMs, show };
  return await conduct(plan, { signal: interrupt.signal, progress, failures });
}

async function writeReports(values: VerifyValues, report: VerifyReport, evidence: Evidence): Promise<void> {
  if (values.json !== undefined && values.json !== "-")
    await writeReport(values.json, `${JSON.stringify(report)}\n`);
  if (values.junit !== undefined) {
    const { renderJunit } = await import("../verify/junit.ts");
    await writeReport(values.junit, renderJunit(report));
  }
  if (values.html !== undefined) {
    const { renderPage } = await import("../verify/page/page.ts");
    await writeReport(values.html, renderPage(report));
  }
  if (values.hgrm !== undefined) {
    const { spectrumOf } = await import("../verify/spectrum.ts");
    await writeReport(values.hgrm, spectrumOf(evidence));
  }
}
