// Draws the page's charts with uPlot. Runs in the reader's browser, so it is plain JavaScript and loads nothing.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [];
  let paper = false;

  // Colours follow the page's own, which follow the reader's light or dark; on paper they are the light ones.
  const LIGHT = {
    "--paper": "#ffffff",
    "--ink": "#1b1f24",
    "--faint": "#5d6673",
    "--rule": "#dfe3e8",
    "--bad": "#cc2b26",
  };
  const colour = (name) =>
    (paper && LIGHT[name]) || getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const axis = (extra) => ({
    stroke: () => colour("--faint"),
    grid: { stroke: () => colour("--rule"), width: 1 },
    ticks: { stroke: () => colour("--rule"), width: 1 },
    font: "12px system-ui, sans-serif",
    ...extra,
  });
  const seconds = axis({ values: (_, all) => all.map((v) => `${v} s`) });

  // Behind the lines: swaps as bands, their flips as thin lines.
  function drawSwaps(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const swap of data.swaps) {
      const from = u.valToPos(swap.from, "x", true);
      const to = u.valToPos(swap.to, "x", true);
      ctx.fillStyle = colour("--swap");
      ctx.fillRect(from, bbox.top, Math.max(1, to - from), bbox.height);
      if (swap.flip === null) continue;
      ctx.fillStyle = colour("--flip");
      ctx.fillRect(u.valToPos(swap.flip, "x", true), bbox.top, devicePixelRatio, bbox.height);
    }
    ctx.restore();
  }

  // In front: what failed, as red marks on the ground line, and the name of the first of each heap.
  function drawMarks(u) {
    const { ctx, bbox } = u;
    const r = devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour("--bad");
    ctx.font = `${11 * r}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    let freeFrom = -1;
    for (const mark of data.marks) {
      const x = u.valToPos(mark.x, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      const ground = bbox.top + bbox.height;
      ctx.beginPath();
      ctx.moveTo(x, ground - 9 * r);
      ctx.lineTo(x + 5 * r, ground);
      ctx.lineTo(x - 5 * r, ground);
      ctx.fill();
      const width = ctx.measureText(mark.class).width;
      if (x < freeFrom || x + width > bbox.left + bbox.width) continue;
      // On paper of its own: behind it may be a red bar.
      ctx.fillStyle = colour("--paper");
      ctx.fillRect(x + 5 * r, ground - 23 * r, width + 4 * r, 15 * r);
      ctx.fillStyle = colour("--bad");
      ctx.fillText(mark.class, x + 7 * r, ground - 12 * r);
      freeFrom = x + width + 20 * r;
    }
    freeFrom = -1;
    ctx.fillStyle = colour("--faint");
    for (const swap of data.swaps) {
      const x = u.valToPos(swap.from, "x", true) + 3 * r;
      if (!swap.label || x < freeFrom) continue;
      ctx.fillText(swap.label, x, bbox.top + 12 * r);
      freeFrom = x + ctx.measureText(swap.label).width + 6 * r;
    }
    ctx.restore();
  }

  const hint = (mark) => `${mark.count} x ${mark.class} (${mark.mode})`;
  // A cell's time is its beginning, a mark's its own.
  const cell = data.x[1] - data.x[0];
  const failedAt = (x) => data.marks.filter((mark) => mark.x >= x && mark.x < x + 2 * cell).map(hint);

  function add(id, height, series, columns, options) {
    const place = document.getElementById(id);
    if (!place) return;
    const width = () => Math.max(280, place.clientWidth);
    const { scales, axes, hooks } = options;
    const u = new uPlot(
      {
        width: width(),
        height,
        scales: { x: { time: false }, ...scales },
        axes,
        series: [{ label: "time", value: (_, v) => (v === null ? "–" : `${v.toFixed(1)} s`) }, ...series],
        cursor: { y: false, points: { size: 6 } },
        hooks,
      },
      columns,
      place,
    );
    charts.push({ u, fit: () => u.setSize({ width: width(), height }) });
  }

  const line = (label, name, digits, unit, extra) => ({
    label,
    stroke: () => colour(name),
    width: 1.5,
    points: { show: false },
    value: (_, v) => (v === null || v === undefined ? "–" : `${v.toFixed(digits)}${unit}`),
    ...extra,
  });

  const hooks = { drawClear: [drawSwaps], draw: [drawMarks] };
  add(
    "requests",
    260,
    [
      line("answers/s", "--ok-line", 0, "", { fill: () => `${colour("--ok-line")}22` }),
      line("failed", "--bad", 0, "", {
        fill: () => colour("--bad"),
        paths: uPlot.paths.bars({ size: [1, 8, 2], align: 1 }),
        scale: "n",
        value: (u, v, _, i) => (v ? failedAt(u.data[0][i]).join(", ") || String(v) : "0"),
      }),
    ],
    [data.x, data.okPerSecond, data.dropped],
    {
      // Both from zero on; failures have a scale of their own, or one would be too small to be seen.
      scales: {
        y: { range: (_, __, most) => [0, Math.max(1, most * 1.15)] },
        n: { range: (_, __, most) => [0, Math.max(4, (most || 0) * 3)] },
      },
      axes: [seconds, axis({ size: 56 })],
      hooks,
    },
  );

  add(
    "latency",
    260,
    data.slowest.map((one, i) => line(one.mode, `--m${Math.min(i, 5)}`, 1, " ms")),
    [data.x, ...data.slowest.map((one) => one.ms)],
    {
      scales: {
        y: {
          distr: 3,
          range: (_, least, most) => [
            10 ** Math.floor(Math.log10(Math.max(0.1, least || 1))),
            Math.max(10, most * 1.5),
          ],
        },
      },
      axes: [seconds, axis({ size: 76, values: (_, all) => all.map((v) => (v === null ? "" : `${v} ms`)) })],
      hooks: { drawClear: [drawSwaps], draw: [drawMarks] },
    },
  );

  const fromZero = { y: { range: (_, __, most) => [0, Math.max(1, most * 1.15)] } };
  const dots = { points: { show: true, size: 4 } };
  const { samples } = data;
  add(
    "memory",
    200,
    [line("hupwatch", "--m0", 1, " MB", dots), line("with the command", "--m5", 1, " MB", dots)],
    [samples.x, samples.rssMb, samples.treeRssMb],
    {
      scales: fromZero,
      axes: [seconds, axis({ size: 64, values: (_, all) => all.map((v) => `${v} MB`) })],
      hooks: { drawClear: [drawSwaps] },
    },
  );
  add(
    "descriptors",
    180,
    [line("descriptors of hupwatch", "--m2", 0, "", dots), line("processes in all", "--m1", 0, "", dots)],
    [samples.x, samples.descriptors, samples.processes],
    { scales: fromZero, axes: [seconds, axis({ size: 64 })], hooks: { drawClear: [drawSwaps] } },
  );

  const redraw = () => {
    for (const { u } of charts) u.redraw(false, true);
  };
  const fit = () => {
    for (const chart of charts) chart.fit();
  };
  new ResizeObserver(fit).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const onPaper = (is) => () => {
    paper = is;
    redraw();
  };
  addEventListener("beforeprint", onPaper(true));
  addEventListener("afterprint", onPaper(false));
})();
