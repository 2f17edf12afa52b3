/** The results as a page: one file that loads nothing, for a wide screen and for a phone, light and dark. Pure. */
import {
  type Cell,
  countsOf,
  FIGURES,
  figuresOf,
  type Grid,
  groupsOf,
  isGreen,
  measuredOf,
  sumOf,
  verdictOf,
  warningsOf,
} from "./grid.ts";

const STYLE = `:root{color-scheme:light dark;--good:#197d3c;--bad:#c62828;--line:#8883;--dim:#6b6b6b}
@media (prefers-color-scheme:dark){:root{--good:#6fd08c;--bad:#ff8a80;--dim:#a0a0a0}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.5rem 0 .5rem}
.sum{font-size:1.15rem;margin:.3rem 0 1rem}.sum b{color:var(--good)}.failed .sum b{color:var(--bad)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .8rem .45rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);font-weight:normal}
thead th{color:var(--dim)}tbody th{font-weight:600}
code{display:block;font:12.5px/1.5 ui-monospace,monospace;color:var(--dim);font-weight:normal;overflow-wrap:anywhere}
small{display:block;color:var(--dim)}
.matrix small{white-space:nowrap}.matrix code{max-width:26rem}
.green b{color:var(--good)}.red b{color:var(--bad)}.skipped{color:var(--dim)}
.scroll{overflow-x:auto}.scroll th,.scroll td{white-space:nowrap;padding:.2rem 1rem .2rem 0}
.scroll td:nth-child(n+3):nth-child(-n+9){text-align:right}.scroll th:nth-child(n+3):nth-child(-n+9){text-align:right}
li{overflow-wrap:anywhere}pre{overflow-x:auto;font:12.5px/1.5 ui-monospace,monospace;color:var(--dim)}
@media (max-width:44rem){.matrix thead{display:none}.matrix tr{display:grid;grid-template-columns:1fr 1fr;padding:.6rem 0;border-bottom:1px solid var(--line)}
.matrix th,.matrix td{border:0;padding:.2rem .6rem .2rem 0}.matrix th{grid-column:1/-1}.matrix td:empty{display:none}
.matrix td::before{content:attr(data-server);display:block;color:var(--dim)}}`;

const { escapeHTML } = Bun;
const element = (tag: string) => (text: string) => `<${tag}>${escapeHTML(text)}</${tag}>`;

export function renderPage(grid: Grid): string {
  const servers = [...new Set(grid.cells.map(({ column }) => column))];
  const images = Object.entries(grid.images).map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`);
  const about = `Images: ${images.join(", ")}. Engine: ${grid.engine}. Base: ${grid.base}. ${Math.round(grid.seconds / 60)} minutes.`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>hupwatch below supervisors: ${countsOf(grid)}</title><style>${STYLE}</style></head>
<body class="${isGreen(grid) ? "ok" : "failed"}">
<h1>hupwatch below supervisors</h1>
<p class="sum"><b>${sumOf(grid)}</b><br>${countsOf(grid)}</p>
<p>Fresh connections from another container while the server is replaced by the supervisor's own means, then a stop with a
request in flight: it must be answered, and nothing may be left. A place is empty where a row is about one server.</p>
<table class="matrix"><thead><tr>${["supervisor and deploy", ...servers].map(element("th")).join("")}</tr></thead>
<tbody>${groupsOf(grid.cells)
    .map((group) => rowOf(group, servers))
    .join("\n")}</tbody></table>
${grid.extras.length + warningsOf(grid).length > 0 ? `<h2>And</h2>\n<ul>${warningsOf(grid).map(warning).join("\n")}</ul>` : ""}
<h2>All figures</h2>
<div class="scroll"><table><thead><tr>${["supervisor", "server", ...FIGURES, ""].map(element("th")).join("")}</tr></thead>
<tbody>${grid.cells.map(figuresRow).join("\n")}</tbody></table></div>
<p><small>procs, MB: processes and their own memory after the first and after the last swap. stop: until the container was gone.</small></p>
<p>${escapeHTML(about)}</p>
</body></html>
`;
}

function rowOf(group: Cell[], servers: string[]): string {
  const [{ row, deploy, leaves }] = group as [Cell];
  const cells = servers.map((server) => {
    const cell = group.find(({ column }) => column === server);
    return cell ? cellOf(cell) : "<td></td>";
  });
  const before = leaves === undefined ? "" : element("code")(`before docker stop: ${leaves}`);
  return `<tr><th scope="row">${escapeHTML(row)}${element("code")(deploy)}${before}</th>${cells.join("")}</tr>`;
}

function cellOf(cell: Cell): string {
  const m = measuredOf(cell);
  const swaps = m && `${m.load.failed} of ${m.load.started.toLocaleString("en")} in ${m.swaps} swaps`;
  const stop = m && `stopped in ${(m.stop.ms / 1000).toFixed(1)} s, code ${m.stop.code}`;
  const lines = [swaps, stop].flatMap((line) => (line ? [element("small")(line)] : []));
  return `<td class="${cell.outcome.kind}" data-server="${escapeHTML(cell.column)}"><b>${verdictOf(cell)}</b>${lines.join("")}</td>`;
}

/** A log below its fault keeps its lines. */
function warning(text: string): string {
  const [first = "", ...rest] = text.split("\n");
  return `<li>${escapeHTML(first)}${rest.length > 0 ? element("pre")(rest.join("\n")) : ""}</li>`;
}

const figuresRow = (cell: Cell): string =>
  `<tr class="${cell.outcome.kind}">${[cell.row, cell.column, ...figuresOf(cell)].map(element("td")).join("")}<td><b>${verdictOf(cell)}</b></td></tr>`;
