/** The checks as JUnit XML, in the form that Jenkins, GitLab and GitHub's test reporters read: a test case a check. */
import type { Check } from "./check.ts";
import { escaped } from "./escape.ts";
import type { VerifyReport } from "./report.ts";

export function renderJunit(report: VerifyReport): string {
  const { checks, elapsedMs } = report;
  const of = (...statuses: Check["status"][]) => checks.filter((c) => statuses.includes(c.status)).length;
  const seconds = (elapsedMs / 1000).toFixed(3);
  const counts = attributes({
    tests: String(checks.length),
    failures: String(of("fail")),
    errors: String(of("inconclusive")),
    skipped: String(of("skipped", "not-exercised")),
    time: seconds,
  });
  const suite = attributes({
    name: `hupwatch verify: ${report.subject.command}`,
    timestamp: report.startedAt,
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites${counts}>`,
    `<testsuite${suite}${counts}>`,
    ...checks.map(testCase),
    `<system-out>${escaped(report.line)}</system-out>`,
    "</testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

function testCase({ name, status, summary, details }: Check): string {
  const open = `<testcase${attributes({ classname: "hupwatch.verify", name, time: "0" })}>`;
  const text = escaped([summary, ...details].join("\n"));
  const message = attributes({ message: summary });
  switch (status) {
    case "fail":
      return `${open}<failure${message}>${text}</failure></testcase>`;
    case "inconclusive":
      return `${open}<error${message}>${text}</error></testcase>`;
    case "not-exercised":
      return `${open}<skipped${attributes({ message: `not exercised: ${summary}` })}/></testcase>`;
    case "skipped":
      return `${open}<skipped${message}/></testcase>`;
    default:
      return `${open}<system-out>${text}</system-out></testcase>`;
  }
}

const attributes = (pairs: Record<string, string>): string =>
  Object.entries(pairs)
    .map(([name, value]) => ` ${name}="${escaped(value)}"`)
    .join("");
