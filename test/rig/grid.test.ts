/** The rig's judgement must be able to say no: each fault of a cell by itself, and a grid that proves nothing. */
import { describe, expect, test } from "bun:test";
import type { Measured } from "../../docker/rig/cell.ts";
import { type Cell, figuresOf, type Grid, isGreen, renderText, sumOf } from "../../docker/rig/grid.ts";
import { renderPage } from "../../docker/rig/page.ts";
import { faultsOf } from "../../docker/rig/verdict.ts";

const version = (name: string) => ({ version: name, count: 100, firstMs: 0, lastMs: 1, regressions: 0 });

/** As a good cell is measured. The parts of the report that nobody here reads are left out. */
function good(): Measured {
  const load = {
    scheduled: 1002,
    missed: 2,
    started: 1000,
    ok: 1000,
    failed: 0,
    unaskedBytes: 0,
    failures: [],
    versionRegressions: 0,
    versions: ["1", "2", "3"].map(version),
    generator: { limited: false, reasons: [] },
  };
  return {
    swaps: 2,
    load: load as unknown as Measured["load"],
    deployed: "3",
    zombies: [],
    processes: [4, 4],
    memoryMb: [100, 104],
    stop: { code: 0, expectedCode: 0, ms: 4200, inFlight: { ok: 1, failed: 0 } },
  };
}

test("what is good is green", () => expect(faultsOf(good())).toEqual([]));

/** Many swaps, at whose end there is so much more. */
const slowly = (factor: number) => ({
  swaps: 100,
  deployed: "3",
  memoryMb: Array.from({ length: 100 }, (_, i) => (i < 34 ? 100 : i < 66 ? 101 : 100 * factor)),
});

test("a peak that goes away is no growth", () => {
  const measured = { ...good(), memoryMb: [100, 101, 140, 100, 101, 100] };
  expect(faultsOf(measured)).toEqual([]);
});

const spoilt: [string, (m: Measured) => void, RegExp][] = [
  [
    "one dropped request",
    (m) => Object.assign(m.load, { failed: 1, ok: 999 }),
    /^1 of 1000 requests dropped/,
  ],
  ["no request at all", (m) => Object.assign(m.load, { ok: 0, started: 0 }), /no request was answered/],
  ["a request that nobody knows of", (m) => Object.assign(m.load, { ok: 998 }), /some are lost/],
  ["a slot that nobody knows of", (m) => Object.assign(m.load, { missed: 1 }), /some are lost/],
  ["an answer too many", (m) => Object.assign(m.load, { unaskedBytes: 1 }), /were not requested/],
  ["an old answer after a new one", (m) => Object.assign(m.load, { versionRegressions: 1 }), /older version/],
  [
    "the load at its own limit",
    (m) => Object.assign(m.load.generator, { limited: true }),
    /load was the limit/,
  ],
  ["a deploy that never served", (m) => m.load.versions.pop(), /version 3 was deployed, 2 answered last/],
  ["a swap that was left out", (m) => m.load.versions.splice(1, 1), /2 versions in 2 swaps/],
  ["a zombie", (m) => m.zombies.push(42), /zombies: 42/],
  ["a generation left over", (m) => m.processes.push(7), /4 processes became 7/],
  ["growth", (m) => m.memoryMb.splice(1, 1, 126), /100 MB became 126 MB/],
  ["slow growth", (m) => Object.assign(m, slowly(1.06)), /100 MB became 10[5-9] MB/],
  ["a bad end", (m) => Object.assign(m.stop, { code: 137 }), /exit code 137/],
  ["a slow end", (m) => Object.assign(m.stop, { ms: 30_000 }), /took 30.0 s/],
  ["a cut request", (m) => Object.assign(m.stop, { inFlight: { ok: 0, failed: 1 } }), /was cut/],
  [
    "a request that was never answered",
    (m) => Object.assign(m.stop, { inFlight: { ok: 0, failed: 0 } }),
    /cut/,
  ],
];

test.each(spoilt)("%s is a fault", (_, spoil, fault) => {
  const measured = good();
  spoil(measured);
  expect(faultsOf(measured).join("\n")).toMatch(fault);
});

const cell = (outcome: Cell["outcome"]): Cell => ({
  row: "supervisord",
  column: "uWSGI <Unix>",
  deploy: "supervisorctl signal HUP app",
  leaves: "hupwatch stop",
  outcome,
  seconds: 1,
});
const grid = (...cells: Cell[]): Grid => ({
  schema: "hupwatch-rig/1",
  engine: "e",
  base: "b",
  images: { base: 80 },
  cells,
  extras: [],
  seconds: 9,
});
const green = cell({ kind: "green", measured: good() });
const red = cell({ kind: "red", faults: ["it broke"] });
const skipped = cell({ kind: "skipped", why: "not here" });

describe("the whole", () => {
  test("is green only where something was tried and nothing failed", () => {
    expect(isGreen(grid(green, skipped))).toBe(true);
    expect(isGreen(grid(green, red))).toBe(false);
    expect(isGreen(grid(skipped))).toBe(false);
    expect(isGreen(grid())).toBe(false);
  });

  test("names what failed and what was left out, and counts them", () => {
    const text = renderText(grid(green, red, skipped));
    expect(text).toContain("FAILED supervisord / uWSGI <Unix>: it broke");
    expect(text).toContain("skipped supervisord / uWSGI <Unix>: not here");
    expect(text).toContain("1 ok, 1 failed, 1 skipped");
  });

  test("as a page is escaped and loads nothing", () => {
    const page = renderPage(grid(green, red));
    expect(page).toContain("uWSGI &lt;Unix&gt;");
    expect(page).not.toMatch(/<Unix>|https?:|src=|@import/);
  });

  test("a cell's figures", () => {
    expect(figuresOf(green)).toEqual(["1000", "2", "0", "0", "4", "100 > 104", "4.2 s"]);
    expect(figuresOf(skipped)).toEqual(Array(7).fill("-"));
  });

  test("as text fits a terminal of 80 columns, whatever is measured", () => {
    const wide = structuredClone(green);
    if (wide.outcome.kind !== "green") throw new Error("not green");
    Object.assign(wide.outcome.measured, { swaps: 100, memoryMb: [100, 104] });
    Object.assign(wide.outcome.measured.load, { started: 123_456 });
    const extras: Grid["extras"] = [{ name: "x", outcome: { kind: "green", said: "word ".repeat(40) } }];
    const lines = renderText({ ...grid(wide, green, red, skipped), extras }).split("\n");
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(lines.filter((line) => line.startsWith("  word"))).not.toEqual([]);
  });

  test("says nothing of cells where none was tried", () => {
    const extras: Grid["extras"] = [{ name: "x", outcome: { kind: "green", said: "fine" } }];
    expect(renderText({ ...grid(), extras })).toStartWith("ok x: fine\n");
    expect(renderText({ ...grid(), extras })).not.toContain("dropped");
  });

  test("sums up, what failed included", () => {
    const measured = { ...good(), load: { ...good().load, failed: 3 } };
    const dropped = cell({ kind: "red", faults: ["3 dropped"], measured });
    expect(sumOf(grid(green, dropped, red, skipped))).toBe("3 of 2,000 requests dropped in 4 deploys");
  });
});
