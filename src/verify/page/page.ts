/**
 * The report as one page: no network, no second file, readable without scripts but for the charts, on a phone, on
 * paper, light and dark. The script and the style of uPlot (MIT) are put in as they are.
 */
import uplotJs from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uplotCss from "uplot/dist/uPlot.min.css" with { type: "text" };
import { escaped } from "../escape.ts";
import type { VerifyReport } from "../report.ts";
import { chartDataOf } from "./chart-data.ts";
import js from "./charts.js" with { type: "text" };
import css from "./page.css" with { type: "text" };
import { checksTable, headline, latencyTable, lossTable, tiles } from "./tables.ts";
import { swapTimeline, versionTimeline } from "./timeline.ts";

/** Nothing may be loaded, from nowhere: the browser itself enforces that the page is self-contained. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

export function renderPage(report: VerifyReport): string {
  const losses = lossTable(report);
  const flip = report.subject.kind === "hupwatch" ? "the flip" : "the reload command has ended";
  const sections = [
    headline(report),
    tiles(report),
    section(
      "Requests",
      chart("requests"),
      `Good answers a second. Shaded: a swap; line in it: ${flip}. Red: requests that failed.`,
    ),
    section(
      "Slowest answer",
      chart("latency"),
      "In each tenth of a second, from when the request was due. Logarithmic.",
    ),
    losses && section("What failed", losses),
    section("Checks", checksTable(report.checks)),
    report.latency.length > 0
      ? section("Latency", latencyTable(report), "Good answers, from when each was due.")
      : "",
    ...timelines(report),
    report.samples.length > 1
      ? section(
          "Memory and descriptors",
          `${chart("memory")}${chart("descriptors")}`,
          "Taken after each swap.",
        )
      : "",
    `<footer>hupwatch ${escaped(report.hupwatch)}, bun ${escaped(report.machine.bun)}, ${escaped(report.machine.arch)}</footer>`,
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escaped(`${report.verdict}: ${report.subject.command}`)}</title>
<style>${uplotCss}</style>
<style>${css}</style>
</head>
<body>
<main>
${sections.filter(Boolean).join("\n")}
</main>
<script type="application/json" id="data">${asData(chartDataOf(report))}</script>
<script>${uplotJs}</script>
<script>${js}</script>
</body>
</html>
`;
}

function timelines(report: VerifyReport): string[] {
  // Apart, for a release that hangs takes far longer than a swap, and both have one scale each.
  const { planned = [], chaos = [] } = Object.groupBy(report.stages, ({ name }) =>
    name === "swaps" ? "planned" : "chaos",
  );
  const [swaps = "", accidents = ""] = [planned, chaos].map((stages) =>
    swapTimeline(stages.flatMap((stage) => stage.swaps)),
  );
  const versions = versionTimeline(report.versions.spans, planned[0]?.endMs ?? 0);
  return [
    swaps && section("Swaps", `${legend(report)}${swaps}`, "From the signal on."),
    accidents &&
      section(
        "Accidents on purpose",
        accidents,
        "Bad releases and a killed hupwatch, each from its signal on.",
      ),
    versions && section("Versions", versions, "On new connections: when each first and last answered."),
  ];
}

/** JSON within a script element: no `</script>` and no `<!--` may stand in it. */
const asData = (data: unknown): string => JSON.stringify(data).replaceAll("<", "\\u003c");

const section = (title: string, body: string, note = ""): string =>
  `<section><h2>${title}</h2>${note ? `<p class="note">${note}</p>` : ""}${body}</section>`;

const chart = (id: string): string => `<div class="chart" id="${id}"></div>`;

function legend({ subject }: VerifyReport): string {
  const entries =
    subject.kind === "hupwatch"
      ? [
          ["boot", "boots"],
          ["warm", "both serve"],
          ["idle", "the replaced one still has connections"],
          ["drain", "it has its stop signal"],
        ]
      : [
          ["boot", "reload command"],
          ["drain", "settles"],
        ];
  return `<p class="legend">${entries.map(([css, text]) => `<span><i class="${css}"></i>${text}</span>`).join("")}</p>`;
}
