/** The page of `--html`, looked at as its reader sees it: drops are red where they were, and swaps are shaded. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { parse } from "../../src/cli/parse.ts";
import verify from "../../src/cli/verify.ts";
import { planVerify } from "../../src/cli/verify-plan.ts";
import { conduct } from "../../src/verify/conductor.ts";
import { renderPage } from "../../src/verify/page/page.ts";
import { makeReport, type VerifyReport } from "../../src/verify/report.ts";
import { type Fault, FaultServer } from "../faults/server.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { type Colour, isLike, type Picture, show } from "./picture.ts";
import { chromium } from "./tools.ts";

setDefaultTimeout(300_000);

const RED: Colour = [0xcc, 0x2b, 0x26];
const PAPER: Colour = [255, 255, 255];
/** --swap of page.css: #8a94a6 at 15 %, on white. */
const SHADE: Colour = [0xee, 0xef, 0xf2];
const WIDTH = 1200;
const HEIGHT = 1000;
/** A line of the grid, the one of the flip, and what is rounded at both edges. */
const LINES_PX = 6;
/** Half a mark, or a bar. */
const MARK_PX = 9;
/** Counts are of a tenth of a second each, of the load's own clock, and shown at the tenth in which that one begins. */
const CELLS_MS = 200;
const BROKEN_MS = 300;

/** Two swaps; the first release loses what it is asked in its first 300 ms. */
async function losesSome(): Promise<VerifyReport> {
  let brokenUntil = 0;
  const fault: Fault = ({ socket, request, good }) => {
    if (brokenUntil === 0 && good.includes("X-Version: 2\r\n")) brokenUntil = performance.now() + BROKEN_MS;
    if (performance.now() < brokenUntil) return void socket.end();
    socket.write(good);
    if (request.close) socket.end();
  };
  using server = new FaultServer("unix", fault, 1);
  const words = [
    ...["-n", "2", "-r", "60", "-m", "fresh", "--burst", "0", "--every", "700ms", "--settle", "600ms"],
    ...["--target", server.target, "--reload", server.deploy],
  ];
  const { values, positionals } = parse(verify, words);
  const plan = planVerify(values, positionals);
  return makeReport(await conduct(plan, { signal: new AbortController().signal }));
}

/** Where uPlot has drawn its first chart, and the seconds of its first and last column. */
interface Chart {
  left: number;
  top: number;
  width: number;
  height: number;
  from: number;
  to: number;
}

/** Added to the page: only the browser knows where it put the chart. */
const WHERE = `<script>{
  const { left, top, width, height } = document.querySelector("#requests .u-over").getBoundingClientRect();
  const { x } = JSON.parse(document.getElementById("data").textContent);
  document.body.dataset.chart = [left, top, width, height, x[0], x.at(-1)].join(" ");
}</script>`;

function chartIn(dom: string): Chart {
  const [left = 0, top = 0, width = 0, height = 0, from = 0, to = 0] = (
    /data-chart="([^"]*)"/.exec(dom)?.[1] ?? ""
  )
    .split(" ")
    .map(Number);
  return { left, top, width, height, from, to };
}

const columnOf = ({ left, width, from, to }: Chart, seconds: number): number =>
  left + ((seconds - from) / (to - from)) * width;

/** The columns of the chart in which the picture has this colour, in one of the rows. */
function columnsLike(picture: Picture, { left, width }: Chart, rows: number[], colour: Colour): number[] {
  const all = Array.from({ length: Math.floor(width) - 2 }, (_, i) => Math.ceil(left) + 1 + i);
  return all.filter((x) => rows.some((y) => isLike(picture.at(x, Math.round(y)), colour, 6)));
}

// Named, so that a run without it tells what was not looked at: Ubuntu has Chromium as a snap alone.
test.skipIf(chromium === undefined)(
  "drops are red where they were, and swaps are shaded (needs Debian's package chromium)",
  async () => {
    const report = await losesSome();
    using dir = tempDir();
    writeFileSync(`${dir.path}/page.html`, renderPage(report).replace("</body>", `${WHERE}</body>`));
    const { dom, complaints, picture } = await show(`${dir.path}/page.html`, WIDTH, HEIGHT);
    expect(complaints).toEqual([]);
    const chart = chartIn(dom);
    expect(chart.width).toBeGreaterThan(WIDTH / 2);

    // Just above the ground line there are the marks and the bars, and no word.
    const ground = chart.top + chart.height;
    const red = columnsLike(picture, chart, [ground - 2, ground - 3], RED);
    const drops = report.stages.flatMap(({ runs }) =>
      runs.flatMap(({ offsetMs, load }) =>
        load.failureRecords.map(({ endedMs }) => columnOf(chart, (endedMs + offsetMs) / 1000)),
      ),
    );
    expect(drops.length).toBeGreaterThan(2);
    const early = columnOf(chart, CELLS_MS / 1000) - columnOf(chart, 0) + MARK_PX;
    const belongs = (x: number) => (drop: number) => x >= drop - early && x <= drop + MARK_PX;
    expect(drops.filter((drop) => !red.some((x) => belongs(x)(drop)))).toEqual([]);
    expect(red.filter((x) => !drops.some(belongs(x)))).toEqual([]);

    // Above the highest line there is nothing but the bands, the grid and the flips.
    const shaded = new Set(columnsLike(picture, chart, [chart.top + 4], SHADE));
    const bare = new Set(columnsLike(picture, chart, [chart.top + 4], PAPER));
    const swaps = report.stages.flatMap((stage) => stage.swaps);
    expect(swaps).toHaveLength(2);
    const inSwap = (x: number, by: number) =>
      swaps.some(
        ({ startMs, endMs }) =>
          x >= columnOf(chart, startMs / 1000) + by && x <= columnOf(chart, (endMs ?? 0) / 1000) - by,
      );
    expect([...shaded].filter((x) => !inSwap(x, -2))).toEqual([]);
    expect([...bare].filter((x) => inSwap(x, 2))).toEqual([]);
    for (const { startMs, endMs } of swaps) {
      const [from, to] = [startMs, endMs ?? 0].map((ms) => Math.round(columnOf(chart, ms / 1000)));
      const inside = [...shaded].filter((x) => x >= (from ?? 0) && x <= (to ?? 0));
      // But for its edges and the lines in it, which are as wide in a short swap as in a long one.
      expect(inside.length).toBeGreaterThan(0);
      expect((to ?? 0) - (from ?? 0) - inside.length).toBeLessThanOrEqual(LINES_PX);
    }
    expect(bare.size).toBeGreaterThan(100);
  },
);
