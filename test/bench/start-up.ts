/** What it costs to have hupwatch before a command that ends at once, against the runtime alone, in turns. */
import { median } from "../../fixtures/demo/text.ts";
import { LAUNCHER } from "../../fixtures/demo/wrapped.ts";
import { tempDir } from "../harness/temp-dir.ts";
import { cpuMsOfAll } from "./cpu-of-all.ts";
import { ms, type Row } from "./row.ts";

/**
 * In CPU time, which other programs disturb least. Three times the runtime was wished for without interception, and seven with it: the
 * floor, a file that loads what hupwatch has to (fs, path, os, ffi) and starts one command, takes 2.3 already, launcher's shell included. Of 6.7 a
 * profile shows: 1.0 the runtime, 0.5 the launcher, 0.8 those modules, 0.7 the decoding of the bundle (bytecode; minified 0.6), 1.2 the
 * evaluation of what a run needs; the rest is the work: plan 0.9, lock and state file 0.4, control socket 0.1, log 0.3, spawn and output
 * capture 0.7, and the looks at an end that find nothing left 0.7. Six tenths of a start are the kernel's time, most of it for 3,900 page faults.
 * Tried and of no use: a bundle in 73 parts (0.4 more), one without the other sub-commands, minified, or with bytecode for the outer
 * functions only (0 to 4 more), the compilers on (1.4 more), --smol. Huge pages (MIMALLOC_ALLOW_THP) save two thirds of the faults, and
 * cost 6 MB on 10. Without the runtime's stock of heap blocks (BUN_JSC_useWarmUpMarkedBlocks) there are 500 faults fewer, but a runtime ends
 * where it does not know an option, and the launcher does not know which one it starts. An intercepted start has two programs more, keeper and
 * exec helper: 4.4 together.
 */
const BUDGET = { none: 8, intercept: 13 };
const KINDS = ["bare", "floor", "none", "intercept"] as const;
type Kind = (typeof KINDS)[number];

export function startUp(rounds: number): Row[] {
  using place = tempDir();
  const bun = [process.execPath, "--no-env-file", "--config=/dev/null"];
  const hupwatch = (handover: string) => [
    ...[LAUNCHER, "--run-dir", place.path, "--handover", handover],
    ...["--", "true"],
  ];
  const commands: Record<Kind, string[]> = {
    bare: [process.execPath, "-e", "0"],
    floor: ["sh", "-c", 'exec "$0" "$@"', ...bun, `${import.meta.dir}/start-floor.cjs`],
    none: hupwatch("none"),
    intercept: hupwatch("intercept"),
  };
  const took: Record<Kind, Took[]> = { bare: [], floor: [], none: [], intercept: [] };
  for (let round = 0; round < rounds; round++) for (const kind of KINDS) took[kind].push(run(commands[kind]));
  const of = (kind: Kind, what: keyof Took) => median(took[kind].map((one) => one[what]));
  const row = (kind: Kind, what: string, budget?: number): Row => {
    const cpu = of(kind, "cpuMs") / of("bare", "cpuMs");
    const wall = of(kind, "wallMs") / of("bare", "wallMs");
    return {
      what: `CPU of ${what} / of bun -e 0 (medians of ${rounds})`,
      budget: budget === undefined ? "" : `<= ${budget}`,
      measured: `${cpu.toFixed(1)} (${ms(of(kind, "cpuMs"))} / ${ms(of("bare", "cpuMs"))}; wall ${wall.toFixed(1)})`,
      met: budget === undefined ? undefined : cpu <= budget,
    };
  };
  return [
    row("floor", "the floor: sh, the runtime with fs, path, os and ffi, one command"),
    row("none", "hupwatch --handover none -- true", BUDGET.none),
    row("intercept", "hupwatch --handover intercept -- true", BUDGET.intercept),
  ];
}

interface Took {
  cpuMs: number;
  wallMs: number;
}

function run(command: string[]): Took {
  const before = performance.now();
  const cpuMs = cpuMsOfAll(command, { ...process.env, HUPWATCH_BUN: process.execPath });
  return { cpuMs, wallMs: performance.now() - before };
}
