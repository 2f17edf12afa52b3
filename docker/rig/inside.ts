/**
 * The inside half of the rig by itself, without Docker: `bun docker/rig/inside.ts [--full] [--swaps N] [--only TEXT] ...`, with
 * the supervisors and servers that this machine has. What it has not is skipped and named.
 */
import { type Cell, type Grid, isGreen, renderText } from "./grid.ts";
import { startLocal, whyNotHere } from "./local.ts";
import { optionsOf, wanted } from "./options.ts";
import { renderPage } from "./page.ts";
import { tryCells } from "./try-cells.ts";

const options = optionsOf(process.argv.slice(2));
const begin = performance.now();
const ground = { start: startLocal, whyNot: whyNotHere };
const cells: Cell[] = [];
await tryCells(wanted(options), ground, options, console.error, cells);
const grid: Grid = {
  schema: "hupwatch-rig/1",
  engine: "none, namespaces of this machine",
  base: "this machine",
  images: {},
  cells,
  extras: [],
  seconds: (performance.now() - begin) / 1000,
};
console.log(renderText(grid));
if (options.json) await Bun.write(options.json, `${JSON.stringify(grid, undefined, 2)}\n`);
if (options.html) await Bun.write(options.html, renderPage(grid));
process.exit(isGreen(grid) ? 0 : 1);
