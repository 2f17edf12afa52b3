/** `bun run rig`, the outside half: engine, images, the grid, what came out. Exit codes are in options.ts. */

import { build } from "../release/build.ts";
import { tryPackage } from "../release/package.ts";
import { baseImage } from "./base-image.ts";
import { tryCompose } from "./compose.ts";
import { removeAll, startContainer } from "./container.ts";
import { findEngine, NothingToTryWith } from "./engine.ts";
import { tryExitCodes } from "./exit-codes.ts";
import { tryFleets } from "./fleet/try-fleets.ts";
import { type Cell, type Extra, type Grid, isGreen, renderText } from "./grid.ts";
import { tryHealth } from "./health.ts";
import { hostSettings } from "./host-settings.ts";
import { buildImage, imageOf, removeReplaced, sizeOf, type Target } from "./images.ts";
import { type Options, optionsOf, wanted } from "./options.ts";
import { renderPage } from "./page.ts";
import { scenesFor, tryScene } from "./systemd.ts";
import { tryCells } from "./try-cells.ts";

const TARGETS: readonly Target[] = ["hupwatch", "gunicorn", "supervisors"];
/** Only where all is tried. */
const FURTHER: readonly Target[] = ["nginx", "systemd"];
const begin = performance.now();
let isBrokenOff = false;
const say = (line: string) => {
  // What then fails does so because its containers are taken away.
  if (!isBrokenOff)
    console.error(`[${((performance.now() - begin) / 1000).toFixed(0).padStart(4)} s] ${line}`);
};

async function main(options: Options): Promise<number> {
  if (options.fleet) return fleet(options);
  const full = options.full && options.only === undefined;
  await using engine = await findEngine(say).catch(cannot);
  say(engine.how);
  const grid = new Results(engine.how, options);
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, async () => {
      isBrokenOff = true;
      await grid.tell([{ name: "the rest", outcome: { kind: "skipped", why: `broken off by ${signal}` } }]);
      await removeAll();
      await engine[Symbol.asyncDispose]();
      process.exit(130);
    });
  const settings = await hostSettings();
  const base = await baseImage("bookworm", settings, say).catch(cannot);
  grid.base = base.how;
  say(`base image: ${base.how}`);
  await build();
  grid.images.base = await sizeOf(base.tag);
  const chosen = wanted(options);
  const bases: { BASE: string; SYSTEMD_BASE?: string } = { BASE: base.tag };
  const scenes = options.full || options.only !== undefined ? scenesFor(options.only) : [];
  const all = full || scenes.length > 0 || chosen.some(([row]) => row.image === "systemd");
  if (all) bases.SYSTEMD_BASE = (await baseImage("trixie", settings, say)).tag;
  for (const target of all ? [...TARGETS, ...FURTHER] : TARGETS) {
    await buildImage(target, bases, settings);
    grid.images[target] = await sizeOf(imageOf(target));
    say(`image ${target}: ${grid.images[target]?.toFixed(0)} MB`);
  }
  await removeReplaced();
  const ground = { start: startContainer, whyNot: () => undefined };
  await tryCells(chosen, ground, options, say, grid.cells);
  const extras = options.only === undefined ? [await tryHealth(), await tryExitCodes()] : [];
  for (const scene of scenes) extras.push(await tryScene(scene, say));
  if (full) extras.push(...(await tryPackage(base.tag, settings)), await tryCompose());
  return (await grid.tell(extras)) ? 0 : 1;
}

/** Needs no engine. */
async function fleet(options: Options): Promise<number> {
  const results = new Results("none, namespaces of this machine", options);
  results.base = "this machine";
  return (await results.tell(await tryFleets(options, say))) ? 0 : 1;
}

/** What is known so far, told once at the end, also where that comes early. */
class Results {
  base = "none yet";
  readonly images: Record<string, number> = {};
  /** With holes while some are tried at a time. */
  readonly cells: Cell[] = [];

  constructor(
    private readonly engine: string,
    private readonly options: Options,
  ) {}

  /** Whether all is well. */
  async tell(extras: Extra[]): Promise<boolean> {
    const { engine, base, images, options } = this;
    const cells = Object.values(this.cells);
    const seconds = (performance.now() - begin) / 1000;
    const grid: Grid = { schema: "hupwatch-rig/1", engine, base, images, cells, extras, seconds };
    console.log(renderText(grid));
    if (options.json) await Bun.write(options.json, `${JSON.stringify(grid, undefined, 2)}\n`);
    if (options.html) await Bun.write(options.html, renderPage(grid));
    return isGreen(grid);
  }
}

function cannot(error: unknown): never {
  throw new NothingToTryWith(error instanceof Error ? error.message : String(error));
}

process.exit(
  await main(optionsOf(process.argv.slice(2))).catch((error) => {
    console.error(error instanceof Error ? error.message : error);
    return error instanceof NothingToTryWith ? 3 : 1;
  }),
);
