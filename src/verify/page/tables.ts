/** The page's words and tables, as HTML. */
import { FAILURE_CLASSES } from "../../load/outcome.ts";
import type { Check } from "../check.ts";
import { escaped } from "../escape.ts";
import type { VerifyReport } from "../report.ts";
import { count, ms, us } from "../words.ts";

const VERDICTS = { pass: "Passed", fail: "Failed", inconclusive: "Inconclusive" } as const;
const STATUSES: Record<Check["status"], string> = {
  pass: "ok",
  fail: "failed",
  inconclusive: "?",
  measured: "measured",
  skipped: "skipped",
  "not-exercised": "not exercised",
};

export function headline(report: VerifyReport): string {
  const { subject, target, modes, machine, startedAt, load } = report;
  const command = `${subject.kind === "hupwatch" ? "hupwatch -- " : ""}${subject.command}`;
  const facts = [
    target,
    `${modes.join(", ")}: ${count(load.ratePerMode)} requests/s each`,
    `Linux ${machine.kernel}, ${machine.cpus} CPUs`,
    startedAt.replace("T", " ").slice(0, 16),
  ];
  return [
    `<header class="${report.verdict}">`,
    `<p class="verdict">${VERDICTS[report.verdict]}</p>`,
    `<h1>${escaped(report.line)}</h1>`,
    `<p class="command"><code>${escaped(command)}</code></p>`,
    `<p class="facts">${facts.map((f) => `<span>${escaped(f)}</span>`).join(" ")}</p>`,
    "</header>",
  ].join("\n");
}

/** The few figures that a reader looks for first. */
export function tiles(report: VerifyReport): string {
  const { requests, latency, gaps, versions, timings } = report;
  const all = latency[0];
  const gap = Math.max(0, ...gaps.map((g) => g.ms));
  const mixed = Math.max(0, ...versions.mixedMsOnNewConnections);
  const ready = timings.signalToReadyMs;
  const entries: [figure: string, meaning: string, css?: string][] = [
    [
      count(requests.dropped),
      `of ${count(requests.started)} requests dropped`,
      requests.dropped > 0 ? "bad" : "good",
    ],
    [count(report.swaps), `swaps, ${count(requests.crossed)} requests crossed one`],
    ...(all
      ? ([[us(all.swap.p999Us), `p99.9 in swaps; ${us(all.steady.p999Us)} steady`]] as [string, string][])
      : []),
    [ms(gap), "longest time without a good answer"],
    ...(versions.spans.length > 1 ? ([[ms(mixed), "of two versions in turns"]] as [string, string][]) : []),
    ...(ready
      ? ([
          [
            ms(ready.p50),
            report.subject.kind === "hupwatch"
              ? "from HUP to ready (median)"
              : "the reload command took (median)",
          ],
        ] as [string, string][])
      : []),
  ];
  const tile = ([figure, meaning, css = ""]: (typeof entries)[number]) =>
    `<div class="tile ${css}"><b>${escaped(figure)}</b><span>${escaped(meaning)}</span></div>`;
  return `<section class="tiles">${entries.map(tile).join("")}</section>`;
}

export function checksTable(checks: readonly Check[]): string {
  const row = ({ name, status, summary, details }: Check) => {
    const more =
      details.length > 0 ? `<ul>${details.map((d) => `<li>${escaped(d)}</li>`).join("")}</ul>` : "";
    return `<tr class="${status}"><td><span class="badge">${STATUSES[status]}</span></td><th>${escaped(name)}</th><td>${escaped(summary)}${more}</td></tr>`;
  };
  return `<table class="checks"><tbody>${checks.map(row).join("\n")}</tbody></table>`;
}

export function latencyTable({ latency }: VerifyReport): string {
  const cells = (p: (typeof latency)[number]["steady"]) =>
    [count(p.count), us(p.p50Us), us(p.p99Us), us(p.p999Us), us(p.maxUs)]
      .map((c) => `<td>${c}</td>`)
      .join("");
  const rows = latency.map(
    ({ mode, steady, swap }) =>
      `<tr><th rowspan="2">${mode}</th><td class="when">steady</td>${cells(steady)}</tr><tr><td class="when">in swaps</td>${cells(swap)}</tr>`,
  );
  const head = ["", "", "answers", "p50", "p99", "p99.9", "max"].map((h) => `<th>${h}</th>`).join("");
  return `<div class="scroll"><table class="figures"><thead><tr>${head}</tr></thead><tbody>${rows.join("\n")}</tbody></table></div>`;
}

const LOSSES = {
  drop: "dropped",
  race: "keep-alive race",
  integrity: "wrong answer",
  held: "held by a killed process",
  stream: "stream ended",
  generator: "our own limit",
} as const;

/** Empty where nothing failed. */
export function lossTable({ losses }: VerifyReport): string {
  if (losses.length === 0) return "";
  const rows = [...losses]
    .sort((a, b) => b.count - a.count)
    .map((l) => {
      const cells = [
        count(l.count),
        LOSSES[l.loss],
        l.class,
        l.errno ?? (l.closeCode === undefined ? "" : `code ${l.closeCode}`),
        FAILURE_CLASSES[l.class].meaning,
        l.mode,
        l.reused ? "reused" : "new",
        l.stage,
      ];
      return `<tr>${cells.map((c) => `<td>${escaped(c)}</td>`).join("")}</tr>`;
    });
  const head = ["requests", "", "class", "errno", "meaning", "mode", "connection", "during"];
  return `<div class="scroll"><table class="figures losses"><thead><tr>${head.map((h) => `<th>${h}</th>`).join("")}</tr></thead><tbody>${rows.join("\n")}</tbody></table></div>`;
}
