/** The rig's judgement must be able to say no: each fault of a cell by itself, and a grid that proves nothing. */
import { describe, expect, test } from "bun:test";
import type { Measured } from "../../docker/cell.ts";
import { type Cell, figuresOf, type Grid, isGreen, renderPage, renderText } from "../../docker/grid.ts";
import { faultsOf } from "../../docker/verdict.ts";

const version = (name: string) => ({ version: name, count: 100, firstMs: 0, lastMs: 1, regressions: 0 });

/** As a good cell is measured. The parts of the report that nobody here reads are left out. */
function good(): Measured {
  const load = {
    started: 1000,
    ok: 1000,
    failed: 0,
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
    processes: { first: 4, last: 4 },
    memoryMb: { first: 100, last: 104 },
    stop: { code: 0, ms: 4200, inFlight: { ok: 1, failed: 0 } },
  };
}

test("what is good is green", () => expect(faultsOf(good())).toEqual([]));

const spoilt: [string, (m: Measured) => void, RegExp][] = [
  [
    "one dropped request",
    (m) => Object.assign(m.load, { failed: 1, ok: 999 }),
    /^1 of 1000 requests dropped/,
  ],
  ["no request at all", (m) => Object.assign(m.load, { ok: 0, started: 0 }), /no request was answered/],
  ["an old answer after a new one", (m) => Object.assign(m.load, { versionRegressions: 1 }), /older version/],
  [
    "the load at its own limit",
    (m) => Object.assign(m.load.generator, { limited: true }),
    /load was the limit/,
  ],
  ["a deploy that never served", (m) => m.load.versions.pop(), /version 3 was deployed, 2 answered last/],
  ["a swap that was left out", (m) => m.load.versions.splice(1, 1), /2 versions in 2 swaps/],
  ["a zombie", (m) => m.zombies.push(42), /zombies: 42/],
  ["a generation left over", (m) => Object.assign(m.processes, { last: 7 }), /4 processes became 7/],
  ["growth", (m) => Object.assign(m.memoryMb, { last: 126 }), /100 MB became 126 MB/],
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
  column: "gunicorn <Unix>",
  typed: "supervisorctl signal HUP app",
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
    expect(text).toContain("FAILED supervisord / gunicorn <Unix>: it broke");
    expect(text).toContain("skipped supervisord / gunicorn <Unix>: not here");
    expect(text).toContain("1 ok, 1 failed, 1 skipped");
  });

  test("as a page is escaped and loads nothing", () => {
    const page = renderPage(grid(green, red));
    expect(page).toContain("gunicorn &lt;Unix&gt;");
    expect(page).not.toMatch(/<Unix>|https?:|src=|@import/);
  });

  test("a cell's figures", () => {
    expect(figuresOf(green)).toEqual([
      ...["supervisord", "gunicorn <Unix>", "1000", "2", "0", "0", "0"],
      ...["4 > 4", "100 > 104 MB", "4.2 s, code 0", "ok"],
    ]);
  });
});
