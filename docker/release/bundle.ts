/**
 * What is published: each entry with all it needs in one file of dist/js, so that a start opens one file instead of a
 * hundred and installs nothing else. npm and bun call it before they pack, and remove it afterwards (`prepack`, `postpack`):
 * a clone always runs its sources.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { BunPlugin } from "bun";
import { ROOT } from "../rig/places.ts";
import { writePackageLauncher } from "./launcher.ts";

const DIST = `${ROOT}/dist/js`;

/** Longer than a pack takes from the last file that it writes to its end. */
const ABANDONED_MS = 120_000;
const LOOK_MS = 100;

/** Packs of one clone take turns: the folder is the lock, and `postpack`, which removes it, the release. */
async function claim(): Promise<void> {
  mkdirSync(dirname(DIST), { recursive: true });
  if (isOurs()) return;
  console.error(
    `${DIST} is there: another pack of this clone is under way, or was killed; waits until it ends`,
  );
  while (!isOurs()) {
    if (Date.now() - changedAtMs() > ABANDONED_MS) rmSync(DIST, { recursive: true, force: true });
    else await Bun.sleep(LOOK_MS);
  }
}

function isOurs(): boolean {
  try {
    mkdirSync(DIST);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Of one that has just been removed: now. */
const changedAtMs = (): number => statSync(DIST, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();

/** As cli/commands.ts and main.ts import them: the launcher starts load.cjs for the first ones, and the last is PROGRAMS. */
const ELSEWHERE = /^\.\/(load|verify|complete|intercept\/entry)\.ts$/;
const withoutThem: BunPlugin = {
  name: "without what other bundles have",
  setup: (build) => void build.onResolve({ filter: ELSEWHERE }, ({ path }) => ({ path, external: true })),
};

const ENTRY = `${ROOT}/src/intercept/entry.ts`;
/** Its programs, by what it imports for each. */
const PROGRAMS = {
  exec: "./become-command.ts",
  keep: "./keeper.ts",
  relay: "../kept/relay.ts",
  take: "../os/take-descriptor.ts",
  try: "./trial.ts",
};
/** A program of its own, since each start waits for some of them, and others live as long as the service: it reads and keeps no more. */
const only = (program: string): BunPlugin => ({
  name: `only ${program}`,
  setup: (build) =>
    void build.onResolve({ filter: /^\.\.?\/.*\.ts$/ }, ({ path, importer }) => {
      const isOther = Object.values(PROGRAMS).includes(path) && path !== program;
      return importer === ENTRY && isOther ? { path, external: true } : undefined;
    }),
});

/** Not minified: a stack trace must tell where it was, and it makes no start faster. */
export async function bundle(): Promise<void> {
  await claim();
  try {
    await write();
  } catch (error) {
    rmSync(DIST, { recursive: true, force: true });
    throw error;
  }
}

async function write(): Promise<void> {
  const common = { target: "bun", outdir: DIST, metafile: true } as const;
  const hupwatch = { ...common, entrypoints: [`${ROOT}/src/main.ts`] };
  // Bytecode halves a start. It is only good for the very Bun that made it; any other reads the file instead.
  const quick = { ...hupwatch, format: "cjs", bytecode: true } as const;
  const own = { ...quick, entrypoints: [ENTRY] };
  const demo = { ...common, entrypoints: [`${ROOT}/fixtures/demo/demo.ts`], naming: "demo.js" };
  // One after the other: nothing is gained by more on two cores, and an error names its step.
  const built = [
    await Bun.build({ ...quick, naming: "main.cjs", plugins: [withoutThem] }),
    await Bun.build({ ...quick, naming: "load.cjs" }),
    await Bun.build(demo),
  ];
  for (const [word, program] of Object.entries(PROGRAMS))
    built.push(await Bun.build({ ...own, naming: `${word}.cjs`, plugins: [only(program)] }));
  const inputs = built.flatMap(({ metafile }) => Object.keys(metafile?.inputs ?? {}));
  await Bun.write(`${DIST}/LICENSES.txt`, licensesOf(inputs));
  writePackageLauncher(`${DIST}/hupwatch`);
}

/** Of the packages that are built in: their licenses want to go along with them. */
function licensesOf(inputs: readonly string[]): string {
  const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/;
  const folders = new Set(inputs.flatMap((path) => folder.exec(path)?.[0] ?? []));
  return [...folders].sort().map(licenseOf).join("\n");
}

function licenseOf(folder: string): string {
  const path = resolve(ROOT, folder);
  const { name, version, license, author } = JSON.parse(readFileSync(`${path}/package.json`, "utf8"));
  const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
  const by = author?.name ?? author ?? "its authors";
  const text = file
    ? readFileSync(`${path}/${file}`, "utf8")
    : `By ${by}. Its package has no license file.\n`;
  return `${name} ${version} (${license})\n\n${text}`;
}

if (import.meta.main) await bundle();
